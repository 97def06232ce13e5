/**
 * What can be said about a detector's pattern before it is tried: how long a match can be, and which bytes can
 * stand at its first places. Most hits of a keyword are settled by the latter, without a regular expression.
 * Reads the bounded subset that detectors are written in and refuses everything else.
 */

export interface PatternShape {
  readonly min: number;
  readonly max: number;
  /** So many bytes from its beginning on decide whether there is a match, and which: it may look at what comes behind it. */
  readonly reach: number;
  /** A 256-entry table for each of the first places that every match has. */
  readonly places: readonly Uint8Array[];
  /** Bytes that may stand before a match (a look-behind at the pattern's beginning), if it says so. */
  readonly before: Uint8Array | undefined;
}

interface Piece {
  readonly min: number;
  readonly max: number;
  readonly places: readonly Uint8Array[];
}

/** Longer classes are read anew each time. */
const LONGEST_CLASS = 80;
const NOTHING: Piece = { min: 0, max: 0, places: [] };

/** Throws an Error for a pattern that is not bounded, or uses what detectors do not use. */
export function patternShape(pattern: string, ignoreCase: boolean, places = 24): PatternShape {
  const reader = new PatternReader(pattern, ignoreCase, places);
  const all = reader.alternatives();
  if (!reader.done) throw new Error(`unbalanced ) in ${pattern}`);
  // One more, as `$` and `\\b` ask what stands behind a match.
  return { ...all, reach: all.max + Math.max(1, reader.ahead), before: reader.before };
}

class PatternReader {
  readonly #source: string;
  readonly #ignoreCase: boolean;
  readonly #places: number;
  #at = 0;
  before: Uint8Array | undefined;
  /** Of the longest look-ahead. */
  ahead = 0;

  constructor(source: string, ignoreCase: boolean, places: number) {
    this.#places = places;
    this.#source = source;
    this.#ignoreCase = ignoreCase;
  }

  get done(): boolean {
    return this.#at >= this.#source.length;
  }

  alternatives(): Piece {
    let all = this.#sequence();
    while (this.#take("|")) {
      const other = this.#sequence();
      const places: Uint8Array[] = [];
      for (const [i, table] of all.places.entries()) {
        const second = other.places[i];
        if (second === undefined) break;
        places.push(table.map((allowed, byte) => allowed | (second[byte] ?? 0)));
      }
      all = { min: Math.min(all.min, other.min), max: Math.max(all.max, other.max), places };
    }
    return all;
  }

  #sequence(): Piece {
    let min = 0;
    let max = 0;
    const places: Uint8Array[] = [];
    while (!this.done && this.#peek() !== "|" && this.#peek() !== ")") {
      const piece = this.#quantified();
      if (places.length === max && min === max)
        places.push(...piece.places.slice(0, this.#places - places.length));
      min += piece.min;
      max += piece.max;
    }
    return { min, max, places };
  }

  #quantified(): Piece {
    const atom = this.#atom();
    const bounds = /^(?:\{(\d+)(?:,(\d+))?\}|(\?))\??/.exec(this.#source.slice(this.#at, this.#at + 24));
    if (bounds === null) {
      if (/^(?:[*+]|\{\d+,\})/.test(this.#source.slice(this.#at)))
        throw this.#refusal("an unbounded repetition");
      return atom;
    }
    this.#at += bounds[0].length;
    const least = bounds[3] === undefined ? Number(bounds[1]) : 0;
    const most = bounds[3] === undefined ? Number(bounds[2] ?? bounds[1]) : 1;
    const places: Uint8Array[] = [];
    const exact = atom.min === atom.max && atom.places.length === atom.max;
    for (let i = 0; i < least && places.length < this.#places && (exact || i === 0); i++)
      places.push(...atom.places);
    return { min: atom.min * least, max: atom.max * most, places: places.slice(0, this.#places) };
  }

  #atom(): Piece {
    const character = this.#next();
    if (character === "(") return this.#group();
    if (character === "[") return one(this.#class());
    if (character === ".") return one(tableOf((byte) => byte !== 10 && byte !== 13));
    if (character === "^" || character === "$") return NOTHING;
    if (character === "\\") {
      const escaped = this.#escape();
      return escaped === undefined ? NOTHING : one(this.#cased(escaped));
    }
    if ("*+?{}".includes(character)) throw this.#refusal(`a bare ${character}`);
    return one(this.#cased(byteOnly(character)));
  }

  #group(): Piece {
    const start = this.#at;
    const behind = this.#take("?<!") ? "not" : this.#take("?<=") ? "only" : undefined;
    const ahead = behind === undefined && (this.#take("?!") || this.#take("?="));
    if (behind === undefined && !ahead && !this.#take("?:")) {
      const name = /^\?<\w+>/.exec(this.#source.slice(this.#at));
      if (name !== null) this.#at += name[0].length;
    }
    const inner = this.alternatives();
    if (!this.#take(")")) throw this.#refusal("an open group");
    if (ahead) {
      this.ahead = Math.max(this.ahead, inner.max + 1);
      return NOTHING;
    }
    if (behind === undefined) return inner;
    if (inner.max > 1) throw this.#refusal("a look-behind longer than one character");
    const table = inner.places[0];
    if (start === 1 && inner.min === 1 && table !== undefined)
      this.before = behind === "not" ? table.map((allowed) => 1 - allowed) : table;
    return NOTHING;
  }

  #class(): Uint8Array {
    const start = this.#at;
    const written = /^(?:[^\]\\]|\\.)*\]/s.exec(this.#source.slice(start, start + LONGEST_CLASS))?.[0];
    const name = `${this.#ignoreCase ? "i" : ""}[${written}`;
    const known = written === undefined ? undefined : escapes.get(name);
    if (known !== undefined && written !== undefined) {
      this.#at += written.length;
      return known;
    }
    const table = this.#newClass();
    if (written !== undefined) escapes.set(name, table);
    return table;
  }

  #newClass(): Uint8Array {
    const negated = this.#take("^");
    const table = new Uint8Array(256);
    let low: number | undefined;
    while (this.#peek() !== "]") {
      if (this.done) throw this.#refusal("an open class");
      const character = this.#next();
      if (character === "-" && low !== undefined && this.#peek() !== "]") {
        const to = this.#next();
        const high = to === "\\" ? single(this.#escape()) : to.charCodeAt(0);
        if (high === undefined) throw this.#refusal("a range that ends in a class");
        for (let byte = low; byte <= high; byte++) table[byte] = 1;
        low = undefined;
        continue;
      }
      const set = character === "\\" ? this.#escape() : byteOnly(character);
      if (set === undefined) throw this.#refusal("\\b in a class");
      low = character === "\\" ? single(set) : character.charCodeAt(0);
      if (low !== undefined) table[low] = 1;
      else for (let byte = 0; byte < 256; byte++) table[byte] = (table[byte] ?? 0) | (set[byte] ?? 0);
    }
    this.#at++;
    const cased = this.#cased(table);
    return negated ? cased.map((allowed) => 1 - allowed) : cased;
  }

  /** The bytes an escape stands for; undefined for one that stands for none (\b). */
  #escape(): Uint8Array | undefined {
    const character = this.#next();
    const named: Readonly<Record<string, RegExp>> = {
      d: /\d/,
      D: /\D/,
      w: /\w/,
      W: /\W/,
      s: /\s/,
      S: /\S/,
      n: /\n/,
      r: /\r/,
      t: /\t/,
      f: /\f/,
      v: /\v/,
      "0": /\0/,
    };
    if (character === "b" || character === "B") return undefined;
    const expression = named[character];
    if (expression !== undefined) return namedTable(character, expression);
    if (character === "x" || character === "u") {
      const digits = this.#source.slice(this.#at, this.#at + (character === "x" ? 2 : 4));
      this.#at += digits.length;
      return byteOnly(String.fromCharCode(Number.parseInt(digits, 16)));
    }
    if (/[A-Za-z1-9]/.test(character)) throw this.#refusal(`\\${character}`);
    return byteOnly(character);
  }

  #cased(table: Uint8Array): Uint8Array {
    if (!this.#ignoreCase) return table;
    return table.map((allowed, byte) => {
      const letter = (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a;
      return allowed | (letter ? (table[byte ^ 0x20] ?? 0) : 0);
    });
  }

  #peek(): string | undefined {
    return this.#source[this.#at];
  }

  #next(): string {
    const character = this.#source[this.#at++];
    if (character === undefined) throw this.#refusal("an open end");
    return character;
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #refusal(what: string): Error {
    return new Error(`a detector's pattern must not have ${what}: ${this.#source}`);
  }
}

function one(table: Uint8Array): Piece {
  return { min: 1, max: 1, places: [table] };
}

/** Patterns share their tables: a list of detectors has thousands of characters, and a bottle waits for it. */
const singles = new Map<number, Uint8Array>();
const escapes = new Map<string, Uint8Array>();

function byteOnly(character: string): Uint8Array {
  const code = character.charCodeAt(0);
  let table = singles.get(code);
  if (table === undefined) {
    table = new Uint8Array(256);
    table[code] = 1;
    singles.set(code, table);
  }
  return table;
}

function namedTable(name: string, expression: RegExp): Uint8Array {
  const known = escapes.get(name);
  if (known !== undefined) return known;
  const table = tableOf((byte) => expression.test(String.fromCharCode(byte)));
  escapes.set(name, table);
  return table;
}

function tableOf(allows: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (allows(byte) ? 1 : 0));
}

function single(table: Uint8Array | undefined): number | undefined {
  const first = table?.indexOf(1) ?? -1;
  return first >= 0 && first === table?.lastIndexOf(1) ? first : undefined;
}
