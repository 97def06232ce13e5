/** In which words of a turn a disguise may begin (disguise.ts): what begins in ASCII is looked at byte by byte, letters beyond it sixteen at a time. */
import { type Code, i32, type Local, repeatWhile, v128, when } from "./assembler.ts";
import { type Turn, VECTORS } from "./turn.ts";

interface MarkLocals {
  /** The address of MAY_FOLLOW. */
  readonly mayFollow: Local;
  /** Gets the mask of words. */
  readonly marks: Local;
  readonly scratch: readonly [Local, Local, Local];
}

/** Sets `marks`. */
export function disguiseMarks(turn: Turn, { mayFollow, marks, scratch: [a, b, c] }: MarkLocals): Code {
  const { at, same, bytes, scratch, wordMask } = turn;
  const ZERO = same(0);
  const equals = (k: number, byte: number): Code => v128.equal(bytes(k), same(byte));
  const inAscii = (k: number): Code =>
    [0x00, 0x25, 0x26, 0x5c].map((byte) => equals(k, byte)).reduce((sum, part) => v128.or(sum, part));
  const lead = (k: number): Code => v128.lessUnsigned(v128.add(bytes(k), same(-0xc2)), same(0xf5 - 0xc2));
  const four = (part: (k: number) => Code): Code =>
    v128.or(v128.or(part(0), part(1)), v128.or(part(2), part(3)));
  const rowOf = (byte: Code): Code =>
    i32.shl(i32.and(i32.sub(byte, i32.shrU(byte, i32.const(6))), i32.const(3)), i32.const(8));
  const noteAscii = (k: number): Code => [
    ...a.set(v128.bitmask(scratch(k).get)),
    ...repeatWhile(
      a.get,
      b.set(i32.ctz(a.get)),
      c.set(i32.load8(16 * k, i32.add(at.get, b.get))),
      c.set(rowOf(c.get)),
      c.set(
        i32.load8(0, i32.add(mayFollow.get, i32.add(c.get, i32.load8(16 * k + 1, i32.add(at.get, b.get))))),
      ),
      marks.set(i32.or(marks.get, i32.shl(c.get, i32.add(i32.shrU(b.get, i32.const(2)), i32.const(4 * k))))),
      a.set(i32.and(a.get, i32.sub(a.get, i32.const(1)))),
    ),
  ];
  return [
    ...marks.set(i32.const(0)),
    ...when(
      v128.anyTrue(four((k) => lead(k))),
      marks.set(
        i32.xor(
          wordMask((k) =>
            v128.equal32(v128.and(lead(k), v128.lessSigned(v128.load(16 * k + 1, at.get), same(0xc0))), ZERO),
          ),
          i32.const(0xffff),
        ),
      ),
    ),
    ...when(
      v128.anyTrue(
        VECTORS.map((k) => scratch(k).tee(inAscii(k))).reduce((sum: Code, part) => v128.or(sum, part), ZERO),
      ),
      ...VECTORS.map(noteAscii),
    ),
  ];
}
