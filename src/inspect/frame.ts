/** A text as the sweep reads it: aligned, word by word, with a few harmless bytes behind its end. */

/** Entries a word can cause in a sweep: a mark, and a run with its classes. */
const MOST_EVENTS = 3;
/** Keywords can be noticed at two places of a word. */
const MOST_HITS = 2;
/** DEL: part of nothing that is looked for. */
const PADDING = 0x7f;
const PADDED = 24;
const SMALLEST = 4096;

export class Frame {
  bytes: Buffer = Buffer.alloc(0);
  words: Int32Array = new Int32Array(0);
  length = 0;
  /** What the sweep noted; see there. */
  events: Int32Array = new Int32Array(0);
  eventCount = 0;
  /** Offsets at which three bytes of something looked for may stand. */
  hits: Int32Array = new Int32Array(0);
  hitCount = 0;
  /** Where keywords of detectors really stand. */
  readonly keywords: number[] = [];
  #text: string | undefined;

  /** Room for `length` bytes; what was in it is gone. */
  reserve(length: number): Buffer {
    this.#text = undefined;
    if (this.bytes.length < length + PADDED) {
      const capacity = Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(length + PADDED)));
      const memory = new ArrayBuffer(capacity);
      this.bytes = Buffer.from(memory);
      this.words = new Int32Array(memory);
      this.events = new Int32Array((capacity / 4) * MOST_EVENTS);
      this.hits = new Int32Array((capacity / 4) * MOST_HITS);
    }
    return this.bytes;
  }

  /** What was written into the room is the text from now on. */
  commit(length: number): void {
    this.length = length;
    const { bytes } = this;
    // A call of fill() costs more than a short text's whole sweep.
    for (let i = length; i < length + PADDED; i++) bytes[i] = PADDING;
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
