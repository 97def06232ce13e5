/**
 * A text as the sweep reads it: word by word, with some harmless bytes behind its end, and what the sweep noted of it.
 * It lies in memory that the sweep's programs work in. Frames are few and belong to all scanners together:
 * a scan is never interrupted by another, and keeps nothing.
 */
import { Offsets } from "./offsets.ts";
import type { Workspace } from "./simd/kernels.ts";

/** Entries a word can cause in a sweep: a mark, and a run with its classes. */
const MOST_EVENTS = 3;
/** Keywords can be noticed at two places of a word. */
const MOST_HITS = 2;
/** DEL: part of nothing that is looked for. */
const PADDING = 0x7f;
const PADDING_WORD = 0x7f7f7f7f;
/** The sweep reads so many bytes a turn, and one more. */
const TURN = 64;
/** Of the longest text: a block, what it shares with the next and the last, and padding. */
const CAPACITY = 288 * 1024;
export const LONGEST_TEXT = CAPACITY - 3 * TURN;
/** Of a text, at least so much is made a string of at once: many attempts fit into it, and it is still made quickly. */
const EXCERPT = 4096;
/** And so much before, since a keyword that comes later may belong to a value that begins earlier. */
const EXCERPT_BEFORE = 256;
/** What a frame needs of the memory. */
export const FRAME_SIZE = CAPACITY * (1 + MOST_EVENTS + MOST_HITS);

/** Bytes of a text as latin1, for patterns. */
export interface Excerpt {
  readonly text: string;
  readonly from: number;
  readonly to: number;
}

const NO_EXCERPT: Excerpt = { text: "", from: 0, to: -1 };

export class Frame {
  readonly bytes: Buffer;
  readonly words: Int32Array;
  length = 0;
  /** What the sweep noted; see there. */
  readonly events: Int32Array;
  eventCount = 0;
  /** Offsets at which three bytes of something looked for may stand. */
  readonly hits: Int32Array;
  hitCount = 0;
  /** Where keywords of detectors really stand. */
  readonly keywords = new Offsets();
  /** A value that one of them belongs to may begin before the text, or go on behind it. */
  isCut = false;
  /** The programs for it, and where in their memory it lies. */
  readonly kernels: Workspace["kernels"];
  readonly address: { readonly bytes: number; readonly events: number; readonly hits: number };
  #excerpt: Excerpt = NO_EXCERPT;

  /** Takes FRAME_SIZE of the memory from there (a multiple of 16) on. */
  constructor({ memory, kernels }: Workspace, from: number) {
    // Zero, and so they stay: a text's first byte has a neighbour too.
    const at = from + TURN;
    const events = from + CAPACITY;
    const hits = events + CAPACITY * MOST_EVENTS;
    this.bytes = Buffer.from(memory, at, CAPACITY - TURN);
    this.words = new Int32Array(memory, at, (CAPACITY - TURN) / 4);
    this.events = new Int32Array(memory, events, (CAPACITY / 4) * MOST_EVENTS);
    this.hits = new Int32Array(memory, hits, (CAPACITY / 4) * MOST_HITS);
    this.kernels = kernels;
    this.address = { bytes: at, events, hits };
  }

  /** Room for `length` bytes; what was in it is gone. */
  reserve(length: number): Buffer {
    if (length > LONGEST_TEXT) throw new RangeError(`a text of ${length} bytes was not cut into blocks`);
    return this.bytes;
  }

  /** What was written into the room is the text from now on. */
  commit(length: number): void {
    this.length = length;
    const { bytes, words } = this;
    // A call of fill() costs more than a short text's whole sweep.
    const end = (length + TURN - (length % TURN) + 4) >> 2;
    let at = length;
    for (; (at & 3) !== 0; at++) bytes[at] = PADDING;
    for (let word = at >> 2; word < end; word++) words[word] = PADDING_WORD;
    this.#excerpt = NO_EXCERPT;
  }

  load(source: Uint8Array): void {
    this.reserve(source.length).set(source);
    this.commit(source.length);
  }

  forgetKeywords(): void {
    this.keywords.clear();
    this.isCut = false;
  }

  /** A value of at most so many bytes may begin at `start`. */
  reach(start: number, most: number): void {
    if (start < 0 || start + most > this.length) this.isCut = true;
  }

  /** All of the text. */
  get text(): string {
    return this.bytes.toString("latin1", 0, this.length);
  }

  /**
   * What a pattern is tried on that looks at `reach` bytes from `at` on, and at one before. A long text is not made a
   * string of for the sake of one attempt; attempts close to each other share theirs.
   */
  around(at: number, reach: number): Excerpt {
    const known = this.#excerpt;
    const { length } = this;
    const isBefore = at > known.from || known.from === 0;
    if (isBefore && (at + reach <= known.to || known.to === length)) return known;
    const from = Math.max(0, at - EXCERPT_BEFORE);
    // As much again: attempts go on from here, and each part of a text is copied a few times at most.
    const to = Math.min(length, at + 2 * reach + EXCERPT);
    this.#excerpt = { text: this.bytes.toString("latin1", from, to), from, to };
    return this.#excerpt;
  }
}
