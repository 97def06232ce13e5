/**
 * A text as the sweep reads it: word by word, with some harmless bytes behind its end, and what the sweep noted of it.
 * It lies in memory that the sweep's programs work in. Frames are few and belong to all scanners together:
 * a scan is never interrupted by another, and keeps nothing.
 */
import type { Workspace } from "./simd/kernels.ts";

/** Entries a word can cause in a sweep: a mark, and a run with its classes. */
const MOST_EVENTS = 3;
/** Keywords can be noticed at two places of a word. */
const MOST_HITS = 2;
/** DEL: part of nothing that is looked for. */
const PADDING = 0x7f;
/** The sweep reads so many bytes a turn, and one more. */
const TURN = 64;
/** Of the longest text: a block, what it shares with the next and the last, and padding. */
const CAPACITY = 288 * 1024;
export const LONGEST_TEXT = CAPACITY - 3 * TURN;
/** What a frame needs of the memory. */
export const FRAME_SIZE = CAPACITY * (1 + MOST_EVENTS + MOST_HITS);

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
  readonly keywords: number[] = [];
  /** A value that one of them belongs to may begin before the text, or go on behind it. */
  isCut = false;
  /** The programs for it, and where in their memory it lies. */
  readonly kernels: Workspace["kernels"];
  readonly address: { readonly bytes: number; readonly events: number; readonly hits: number };
  #text: string | undefined;

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
    this.#text = undefined;
    return this.bytes;
  }

  /** What was written into the room is the text from now on. */
  commit(length: number): void {
    this.length = length;
    const { bytes } = this;
    // A call of fill() costs more than a short text's whole sweep.
    const end = length + TURN - (length % TURN) + 4;
    for (let i = length; i < end; i++) bytes[i] = PADDING;
    this.#text = undefined;
  }

  load(source: Uint8Array): void {
    this.reserve(source.length).set(source);
    this.commit(source.length);
  }

  forgetKeywords(): void {
    this.keywords.length = 0;
    this.isCut = false;
  }

  /** A value of at most so many bytes may begin at `start`. */
  reach(start: number, most: number): void {
    if (start < 0 || start + most > this.length) this.isCut = true;
  }

  /** The text as latin1, for patterns; made once, only when one is tried. */
  get text(): string {
    this.#text ??= this.bytes.toString("latin1", 0, this.length);
    return this.#text;
  }
}
