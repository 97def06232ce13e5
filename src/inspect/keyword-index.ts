/**
 * All that is looked for byte by byte, behind one table for the sweep. The sweep reads three bytes at even
 * positions only, so each keyword puts two of its triples in the table: one that it shows when it begins at an even
 * position and one for an odd position, whichever are rarest in ordinary text.
 */
import { addGram, addNeighbour, GRAM_WORDS } from "./gram-table.ts";

/** One byte string of the index, met at three of its bytes, the first of which is `offset` bytes into it. */
export interface Entry<T> {
  readonly bytes: Uint8Array;
  readonly ignoreCase: boolean;
  readonly offset: number;
  readonly target: T;
}

export class KeywordIndex<T> {
  /** For the sweep: {@link addGram} says what of. */
  readonly bits = new Int32Array(GRAM_WORDS);
  readonly #entries = new Map<number, Entry<T>[]>();
  #keys = new Int32Array(0);
  #lists: (readonly Entry<T>[] | undefined)[] = [];

  /** Every occurrence of `bytes` (3 or more) will be met exactly once. */
  addWhole(bytes: Uint8Array, ignoreCase: boolean, target: T): void {
    for (const parity of [0, 1]) {
      let best = -1;
      let least = Number.POSITIVE_INFINITY;
      for (let offset = parity; offset + 3 <= bytes.length; offset += 2) {
        const cost = commonness(bytes, offset) + this.#crowd(bytes, offset);
        if (cost >= least) continue;
        best = offset;
        least = cost;
      }
      if (best >= 0) this.#add({ bytes, ignoreCase, offset: best, target }, false);
      else this.#addOpenEnded({ bytes, ignoreCase, offset: parity, target });
    }
  }

  /** Any `piece` (8 or more) neighbouring bytes of `bytes` will be met at least once. */
  addPieces(bytes: Uint8Array, piece: number, target: T): void {
    // A piece that begins anywhere shows every second of its `piece - 2` triples: so many apart, and one is shown.
    const step = (piece - 3) & ~1;
    for (const parity of [0, 1])
      for (let offset = parity; offset + 3 <= bytes.length; offset += step)
        this.#add({ bytes, ignoreCase: false, offset, target }, true);
  }

  /** To be called when all is added. */
  seal(): void {
    const size = 2 ** Math.ceil(Math.log2(this.#entries.size * 4 + 16));
    this.#keys = new Int32Array(size).fill(-1);
    this.#lists = new Array(size).fill(undefined);
    for (const [gram, entries] of this.#entries) {
      let slot = slotOf(gram, size);
      while (this.#keys[slot] !== -1) slot = (slot + 1) & (size - 1);
      this.#keys[slot] = gram;
      this.#lists[slot] = entries;
    }
  }

  /** What shows these three bytes (little-endian). */
  lookup(gram: number): readonly Entry<T>[] | undefined {
    const keys = this.#keys;
    const mask = keys.length - 1;
    let slot = slotOf(gram, keys.length);
    for (;;) {
      const key = keys[slot];
      if (key === gram) return this.#lists[slot];
      if (key === -1) return undefined;
      slot = (slot + 1) & mask;
    }
  }

  /** @param isPiece the bytes on either side of the triple need not both be there. */
  #add(entry: Entry<T>, isPiece: boolean): void {
    const { bytes, offset } = entry;
    this.#addTriples(entry, bytes[offset + 2] ?? 0, isPiece);
  }

  /** How many others show the same three bytes: where they stand, all of them are compared. */
  #crowd(bytes: Uint8Array, offset: number): number {
    return this.#entries.get(gramAt(bytes, offset))?.length ?? 0;
  }

  /** A keyword of three bytes at an odd position shows two of them, and any third byte. */
  #addOpenEnded(entry: Entry<T>): void {
    for (let third = 0; third < 256; third++) this.#addTriples(entry, third, false);
  }

  #addTriples(entry: Entry<T>, third: number, isPiece: boolean): void {
    const { bytes, ignoreCase, offset } = entry;
    for (const x of cases(bytes[offset] ?? 0, ignoreCase))
      for (const y of cases(bytes[offset + 1] ?? 0, ignoreCase))
        for (const z of cases(third, ignoreCase)) {
          const gram = x | (y << 8) | (z << 16);
          addGram(this.bits, gram);
          this.#addNeighbours(entry, gram, isPiece);
          const entries = this.#entries.get(gram);
          if (entries === undefined) this.#entries.set(gram, [entry]);
          else if (!entries.includes(entry)) entries.push(entry);
        }
  }

  /** What stands beside the triple tells it from most others: before it, or else behind. */
  #addNeighbours({ bytes, ignoreCase, offset }: Entry<T>, gram: number, isPiece: boolean): void {
    const before = bytes[offset - 1];
    const after = bytes[offset + 3];
    if (before !== undefined)
      for (const byte of cases(before, ignoreCase)) addNeighbour(this.bits, gram, { before: byte });
    if (before !== undefined && !isPiece) return;
    if (after !== undefined)
      for (const byte of cases(after, ignoreCase)) addNeighbour(this.bits, gram, { after: byte });
    else if (!isPiece) for (let byte = 0; byte < 256; byte++) addNeighbour(this.bits, gram, { after: byte });
  }
}

function slotOf(gram: number, size: number): number {
  return (Math.imul(gram, 0x85ebca6b) >>> 8) & (size - 1);
}

/** As the sweep reads them. */
function gramAt(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8) | ((bytes[offset + 2] ?? 0) << 16);
}

function cases(byte: number, ignoreCase: boolean): readonly number[] {
  const isLetter = (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a;
  return ignoreCase && isLetter ? [byte | 0x20, byte & 0xdf] : [byte];
}

/** Roughly how often three bytes stand in source code and logs: the rarest triple of a keyword is looked for. */
function commonness(bytes: Uint8Array, offset: number): number {
  let sum = 0;
  for (let i = offset; i < offset + 3; i++) sum += COMMONNESS[bytes[i] ?? 0] as number;
  return sum;
}

const COMMONNESS = Uint8Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  if (/[etaonirsl ]/.test(character)) return 9;
  if (/[cdupmhfgby]/.test(character)) return 6;
  if (/[vwkxjqz0-9/:.="-]/.test(character)) return 4;
  return /[A-Z_]/.test(character) ? 3 : 2;
});
