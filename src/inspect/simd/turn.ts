/** What a program reads in one turn, sixteen bytes to a register: of which sets its bytes are, and the masks of words of which all bytes are. */
import { type Code, i32, type Local, type Locals, v128 } from "./assembler.ts";
import { BANKS } from "./byte-sets.ts";

/** Bytes. */
export const TURN = 64;
/** Registers. */
export const VECTORS = [0, 1, 2, 3] as const;

/** Sets are given as {@link bankBits} has them. */
export interface Turn {
  readonly at: Local;
  /** To be done first. */
  readonly load: Code;
  readonly constant: (value: (place: number) => number) => Code;
  /** One byte sixteen times. */
  readonly same: (byte: number) => Code;
  readonly bytes: (k: number) => Code;
  /** A register of each vector's own, for anything. */
  readonly scratch: (k: number) => Local;
  readonly upperHalves: (raw: Code) => Code;
  /** Nonzero where a byte of vector `k` is of a set. */
  readonly membership: (k: number, bits: readonly number[]) => Code;
  readonly isIn: (k: number, bits: readonly number[]) => Code;
  /** The mask of words: `lane` says, all ones or all zeros, which of a vector's four. */
  readonly wordMask: (lane: (k: number) => Code) => Code;
  readonly wordsOf: (bits: readonly number[]) => Code;
  /** The same, without words in which two spaces stand side by side. */
  readonly wordsOfNumbers: (bits: readonly number[]) => Code;
}

/**
 * @param at where the turn's bytes are.
 * @param vectors fewer for shorter turns; masks of words are of all four.
 */
export function openTurn(locals: Locals, at: Local, vectors: readonly number[] = VECTORS): Turn {
  const constant = (value: (place: number) => number): Code =>
    locals.constant(Array.from({ length: 16 }, (_, place) => value(place) & 0xff));
  const same = (byte: number): Code => constant(() => byte);
  const ZERO = same(0);
  const bytes = vectors.map(() => locals.new("v128"));
  const banks = vectors.map(() => BANKS.map(() => locals.new("v128")));
  const spaces = vectors.map(() => locals.new("v128"));
  const scratch = vectors.map(() => locals.new("v128"));
  const upper = locals.new("v128");
  const vector = <T>(list: readonly T[], k: number): T => list[k] as T;

  const upperHalves = (raw: Code): Code => v128.and(v128.shiftRight16(raw, i32.const(4)), same(15));
  const load = (k: number): Code => {
    const { set, get } = vector(bytes, k);
    const lower = vector(scratch, k);
    return [
      ...set(v128.load(16 * k, at.get)),
      ...lower.set(v128.and(get, same(15))),
      ...upper.set(upperHalves(get)),
      ...BANKS.flatMap((bank, i) => [
        ...vector(vector(banks, k), i).set(
          v128.and(
            v128.swizzle(locals.constant(bank.lower), lower.get),
            v128.swizzle(locals.constant(bank.upper), upper.get),
          ),
        ),
      ]),
      ...vector(spaces, k).set(v128.equal16(get, same(0x20))),
    ];
  };
  const membership = (k: number, bits: readonly number[]): Code => {
    const parts = bits.flatMap((some, bank) => {
      const { get } = vector(vector(banks, k), bank);
      return some === 0 ? [] : [some === 0xff ? get : v128.and(get, same(some))];
    });
    return parts.reduce((sum, part) => v128.or(sum, part));
  };
  const isOut = (k: number, bits: readonly number[]): Code => v128.equal(membership(k, bits), ZERO);
  const wordMask = (lane: (k: number) => Code): Code =>
    v128.bitmask(v128.narrow16(v128.narrow32(lane(0), lane(1)), v128.narrow32(lane(2), lane(3))));

  return {
    at,
    load: vectors.flatMap(load),
    constant,
    same,
    bytes: (k) => vector(bytes, k).get,
    scratch: (k) => vector(scratch, k),
    upperHalves,
    membership,
    isIn: (k, bits) => v128.lessUnsigned(ZERO, membership(k, bits)),
    wordMask,
    wordsOf: (bits) => wordMask((k) => v128.equal32(isOut(k, bits), ZERO)),
    wordsOfNumbers: (bits) =>
      wordMask((k) => v128.equal32(v128.or(isOut(k, bits), vector(spaces, k).get), ZERO)),
  };
}
