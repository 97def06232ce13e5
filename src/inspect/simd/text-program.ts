/** What `holdsText` in plausible-text.ts asks, sixteen bytes a turn, as far as it can be told without counting zeros. */
import { type Code, i32, type Local, Locals, type Program, repeatWhile, v128, when } from "./assembler.ts";

const TURN = 16;
/** Eight printable bytes stand side by side: it is text. */
export const IS_TEXT = 1;
/** Zeros stand among such bytes, or what may be UTF-8 goes on for long: it is to be read byte by byte. */
const MAY_BE_TEXT = 2;

/** Parameters: where the text begins and ends. Result: the bits above; without any it is none. The byte before the text is zero. */
export function textProgram(): Program {
  const locals = new Locals(2);
  const [at, end] = [0, 1].map((i) => locals.parameter(i)) as [Local, Local];
  const [raw, before, ascii] = [locals.new("v128"), locals.new("v128"), locals.new("v128")];
  const [within, streak] = [locals.new("i32"), locals.new("i32")];
  const [found, unclear] = [locals.new("i32"), locals.new("i32")];
  const same = (byte: number): Code => locals.constant(new Array<number>(TURN).fill(byte));
  const is = (byte: number): Code => v128.equal(raw.get, same(byte));
  const isFrom = (first: number, count: number): Code =>
    v128.lessUnsigned(v128.add(raw.get, same(256 - first)), same(count));
  const isPrintable = [is(9), is(10), is(13)].reduce((sum, part) => v128.or(sum, part), isFrom(0x20, 0x5f));
  // Signed, what is beyond ASCII is below zero, and of that what continues a character comes first.
  const isBeyondAscii = v128.lessSigned(before.get, same(0));
  const continues = (bytes: Code): Code => v128.lessSigned(bytes, same(0xc0));
  const follows = v128.or(
    v128.and(continues(raw.get), isBeyondAscii),
    v128.andNot(v128.or(ascii.get, isFrom(0xc2, 0x33)), v128.andNot(isBeyondAscii, continues(before.get))),
  );
  /** Of the last turn's bytes and this one's, those that begin eight neighbouring ones of a kind. */
  const runs = (kind: Code): Code => {
    const last = locals.new("i32");
    const shifted = (by: number): Code =>
      streak.set(i32.and(streak.get, i32.shrU(streak.get, i32.const(by))));
    return [
      ...streak.set(i32.or(last.get, i32.shl(i32.and(v128.bitmask(kind), within.get), i32.const(TURN)))),
      ...last.set(i32.shrU(streak.get, i32.const(TURN))),
      ...[1, 2, 4].flatMap(shifted),
    ];
  };
  const isUnclear = (code: Code): Code => unclear.set(i32.or(unclear.get, code));
  const left = i32.sub(end.get, at.get);
  return {
    name: "tellText",
    parameters: 2,
    locals,
    code: [
      ...repeatWhile(
        i32.and(i32.eqz(found.get), i32.ltU(at.get, end.get)),
        raw.set(v128.load(0, at.get)),
        before.set(v128.load(0, i32.sub(at.get, i32.const(1)))),
        within.set(i32.const(-1)),
        when(i32.ltU(left, i32.const(TURN)), within.set(i32.sub(i32.shl(i32.const(1), left), i32.const(1)))),
        ascii.set(isPrintable),
        runs(ascii.get),
        found.set(streak.get),
        ascii.set(v128.or(ascii.get, is(0))),
        runs(ascii.get),
        isUnclear(streak.get),
        runs(follows),
        isUnclear(i32.and(streak.get, i32.shrU(streak.get, i32.const(8)))),
        at.set(i32.add(at.get, i32.const(TURN))),
      ),
      ...i32.or(
        i32.mul(i32.ne(found.get, i32.const(0)), i32.const(IS_TEXT)),
        i32.mul(i32.ne(unclear.get, i32.const(0)), i32.const(MAY_BE_TEXT)),
      ),
    ],
  };
}
