/** What `noteGrams` in sweep.ts does. Nothing is decided by a jump: a hit is written always, and kept if it is one. */
import { AFTER, BEFORE, GRAM_MULTIPLIER, GRAM_SHIFT, GRAMS } from "../gram-table.ts";
import { type Code, i32, type Local, Locals, type Program, repeatWhile, when } from "./assembler.ts";

/** Parameters: where the text begins and ends, the table of bits, and where hits go. Result: where the next would go. The byte before the text is zero. */
export function gramProgram(): Program {
  const locals = new Locals(4);
  const [text, end, bits, hits] = [0, 1, 2, 3].map((i) => locals.parameter(i)) as [
    Local,
    Local,
    Local,
    Local,
  ];
  const at = locals.new("i32");
  const out = locals.new("i32");
  const hit = locals.new("i32");
  const last = locals.new("i32");
  const hash = locals.new("i32");
  const hashOf = (gram: Code): Code =>
    i32.shrU(i32.mul(gram, i32.const(GRAM_MULTIPLIER)), i32.const(GRAM_SHIFT));
  /** Lowest bit: that of a hash in one of the tables. */
  const bitOf = (table: number, gram: Code): Code =>
    i32.shrU(
      i32.load8(table * 4, i32.add(bits.get, i32.shrU(hash.tee(hashOf(gram)), i32.const(3)))),
      i32.and(hash.get, i32.const(7)),
    );
  /** Writes `value` where the next hit goes, and goes on behind it if `bit` is set. */
  const keep = (value: Code, bit: Code): Code => [
    ...i32.store(0, out.get, value),
    ...out.set(i32.add(out.get, i32.shl(i32.and(bit, i32.const(1)), i32.const(2)))),
  ];
  const look = (offset: number): Code =>
    keep(
      i32.sub(i32.add(at.get, i32.const(offset)), text.get),
      bitOf(GRAMS, i32.and(i32.load(offset, at.get), i32.const(0xffffff))),
    );
  /** Of the triples that were found, those with a neighbour. */
  const sift: Code = [
    ...hit.set(hits.get),
    ...last.set(out.get),
    ...out.set(hits.get),
    ...when(
      i32.ltU(hit.get, last.get),
      repeatWhile(
        i32.ltU(hit.get, last.get),
        at.set(i32.add(i32.load(0, hit.get), text.get)),
        keep(
          i32.load(0, hit.get),
          i32.or(
            bitOf(BEFORE, i32.load(0, i32.sub(at.get, i32.const(1)))),
            bitOf(AFTER, i32.load(0, at.get)),
          ),
        ),
        hit.set(i32.add(hit.get, i32.const(4))),
      ),
    ),
  ];
  return {
    name: "noteGrams",
    parameters: 4,
    locals,
    code: [
      ...at.set(text.get),
      ...out.set(hits.get),
      ...when(
        i32.ltU(at.get, end.get),
        repeatWhile(i32.ltU(at.get, end.get), look(0), look(2), at.set(i32.add(at.get, i32.const(4)))),
      ),
      ...sift,
      ...out.get,
    ],
  };
}
