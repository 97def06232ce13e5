/** A text as the sweep reads it: aligned, word by word, with a few harmless bytes behind its end. */

/** DEL: part of nothing that is looked for. */
const PADDING = 0x7f;
const PADDED = 32;
const SMALLEST = 4096;

export class Frame {
  bytes: Buffer = Buffer.alloc(0);
  words: Int32Array = new Int32Array(0);
  length = 0;
  /** Byte positions (even) at which three bytes begin that stand in some keyword. */
  grams: Int32Array = new Int32Array(0);
  gramCount = 0;
  /** Word indices at which a run of some class has become long enough, and of which classes. */
  edges: Int32Array = new Int32Array(0);
  edgeClasses: Int32Array = new Int32Array(0);
  edgeCount = 0;
  /** Word indices with a byte that is not PLAIN. */
  marks: Int32Array = new Int32Array(0);
  markCount = 0;
  #text: string | undefined;

  /** Room for `length` bytes; what was in it is gone. */
  reserve(length: number): Buffer {
    this.#text = undefined;
    if (this.bytes.length < length + PADDED) {
      const capacity = Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(length + PADDED)));
      const memory = new ArrayBuffer(capacity);
      this.bytes = Buffer.from(memory);
      this.words = new Int32Array(memory);
      this.grams = new Int32Array(capacity / 2);
      this.edges = new Int32Array(capacity / 4);
      this.edgeClasses = new Int32Array(capacity / 4);
      this.marks = new Int32Array(capacity / 4);
    }
    return this.bytes;
  }

  /** What was written into the room is the text from now on. */
  commit(length: number): void {
    this.length = length;
    this.bytes.fill(PADDING, length, length + PADDED);
    this.#text = undefined;
  }

  load(source: Uint8Array): void {
    this.reserve(source.length).set(source);
    this.commit(source.length);
  }

  /** The text as latin1, for patterns; made once, only when one is tried. */
  get text(): string {
    this.#text ??= this.bytes.toString("latin1", 0, this.length);
    return this.#text;
  }
}
