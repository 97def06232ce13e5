/** A list of offsets that is emptied and filled again for every text: emptying an array makes its engine forget the room it has. */
export class Offsets {
  #room = new Int32Array(64);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Undefined beyond its end. */
  at(index: number): number | undefined {
    return index < this.#count ? this.#room[index] : undefined;
  }

  add(offset: number): void {
    if (this.#count === this.#room.length) {
      const room = new Int32Array(2 * this.#count);
      room.set(this.#room);
      this.#room = room;
    }
    this.#room[this.#count++] = offset;
  }

  /** In place of the last one. */
  replaceLast(offset: number): void {
    this.#room[this.#count - 1] = offset;
  }

  clear(): void {
    this.#count = 0;
  }
}
