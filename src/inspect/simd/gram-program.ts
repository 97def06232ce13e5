/** What `noteGrams` in sweep.ts does. Nothing is decided by a jump: a hit is written always, and kept if it is one. */
import {
  AFTER,
  BEFORE,
  FOUR_MULTIPLIER,
  GRAM_BIT_SHIFT,
  GRAM_MULTIPLIER,
  GRAM_OFFSETS,
  GRAM_WORD_SHIFT,
  GRAMS,
} from "../gram-table.ts";
import { type Code, i32, type Local, Locals, type Program, repeatWhile } from "./assembler.ts";

/** Bytes a turn of the loop: texts go on behind their end for as long. */
const TURN = 8;

/**
 * Parameters: where the text begins and ends, and where hits go. Result: where the next would go. The byte before the text is zero.
 *
 * @param bits the address of the tables.
 */
export function gramProgram(bits: number): Program {
  const locals = new Locals(3);
  const [text, end, hits] = [0, 1, 2].map((i) => locals.parameter(i)) as [Local, Local, Local];
  const at = locals.new("i32");
  const out = locals.new("i32");
  const hit = locals.new("i32");
  const last = locals.new("i32");
  const hash = locals.new("i32");
  /** Lowest bit: that of a hash in one of the tables. */
  const bitOf = (table: number, bytes: Code, multiplier: number): Code =>
    i32.shrU(
      i32.load(
        bits + table * 4,
        i32.and(
          i32.shrU(hash.tee(i32.mul(bytes, i32.const(multiplier))), i32.const(GRAM_WORD_SHIFT - 2)),
          i32.const(GRAM_OFFSETS),
        ),
      ),
      i32.shrU(hash.get, i32.const(GRAM_BIT_SHIFT)),
    );
  /** Writes `value` where the next hit goes, and goes on behind it if `bit` is set. */
  const keep = (value: Code, bit: Code): Code => [
    ...i32.store(0, out.get, value),
    ...out.set(i32.add(out.get, i32.shl(i32.and(bit, i32.const(1)), i32.const(2)))),
  ];
  const look = (offset: number): Code =>
    keep(i32.add(at.get, i32.const(offset)), bitOf(GRAMS, i32.load(offset, at.get), GRAM_MULTIPLIER));
  /** Of the triples that were found, those with a neighbour. */
  const sift: Code = [
    ...hit.set(hits.get),
    ...last.set(out.get),
    ...out.set(hits.get),
    ...repeatWhile(
      i32.ltU(hit.get, last.get),
      at.set(i32.load(0, hit.get)),
      keep(
        i32.sub(at.get, text.get),
        i32.or(
          bitOf(BEFORE, i32.load(0, i32.sub(at.get, i32.const(1))), FOUR_MULTIPLIER),
          bitOf(AFTER, i32.load(0, at.get), FOUR_MULTIPLIER),
        ),
      ),
      hit.set(i32.add(hit.get, i32.const(4))),
    ),
  ];
  return {
    name: "noteGrams",
    parameters: 3,
    locals,
    code: [
      ...at.set(text.get),
      ...out.set(hits.get),
      ...repeatWhile(
        i32.ltU(at.get, end.get),
        look(0),
        look(2),
        look(4),
        look(6),
        at.set(i32.add(at.get, i32.const(TURN))),
      ),
      ...sift,
      ...out.get,
    ],
  };
}
