/** What of a disk is taken, one bit for each block or inode, as ext4 keeps it. */
export class Bitmap {
  readonly bytes: Buffer;

  constructor(bits: number) {
    this.bytes = Buffer.alloc(Math.ceil(bits / 8));
  }

  add(first: number, count: number): void {
    let at = first;
    const end = first + count;
    for (; at < end && at % 8 !== 0; at++) this.#set(at);
    const whole = Math.floor((end - at) / 8);
    if (whole > 0) this.bytes.fill(0xff, at / 8, at / 8 + whole);
    for (at += whole * 8; at < end; at++) this.#set(at);
  }

  count(first: number, count: number): number {
    let found = 0;
    for (let at = first; at < first + count; at++) {
      if (at % 8 === 0 && at + 8 <= first + count) {
        const byte = this.bytes[Math.floor(at / 8)] ?? 0;
        if (byte === 0 || byte === 0xff) {
          found += byte === 0 ? 0 : 8;
          at += 7;
          continue;
        }
      }
      found += ((this.bytes[Math.floor(at / 8)] ?? 0) >> (at % 8)) & 1;
    }
    return found;
  }

  #set(at: number): void {
    const index = Math.floor(at / 8);
    this.bytes[index] = (this.bytes[index] ?? 0) | (1 << (at % 8));
  }
}
