/**
 * Bytes that come in pieces and are held as one. Whoever sends them says how large the pieces are: of single bytes, the
 * objects around each would take a hundred times what is in them, and bounds on bytes would bound nothing.
 */
export class Gathered {
  #bytes: Buffer = NOTHING;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Copies it. */
  push(piece: Uint8Array): void {
    const length = this.#length + piece.length;
    if (length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.max(length, this.#length + Math.min(Math.max(this.#length, LEAST), STEP)),
      );
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    this.#bytes.set(piece, this.#length);
    this.#length = length;
  }

  /** All of it, and nothing is held any more. */
  take(): Buffer {
    const all = this.#bytes.subarray(0, this.#length);
    this.#bytes = NOTHING;
    this.#length = 0;
    return all;
  }
}

const NOTHING = Buffer.alloc(0);
/** Room that is made at once: for the next pieces, and not for so many that half of it stays empty. */
const LEAST = 1024;
const STEP = 128 * 1024;
