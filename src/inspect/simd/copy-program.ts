/** Copies text up to where a disguise may begin, sixteen bytes a turn. */
import { type Code, i32, type Local, Locals, type Program, repeatWhile, v128, when } from "./assembler.ts";

const TURN = 16;
/** With these escapes begin; what else is not plain is zero or beyond ASCII. */
const BEGINNINGS = ["%", "&", "\\"];

/** Parameters: where the text begins and ends, and where it goes. Result: the first byte that is not PLAIN, or where a turn ended behind the text. */
export function copyProgram(): Program {
  const locals = new Locals(3);
  const [at, end, out] = [0, 1, 2].map((i) => locals.parameter(i)) as [Local, Local, Local];
  const raw = locals.new("v128");
  const others = locals.new("i32");
  const same = (byte: number): Code => locals.constant(new Array<number>(16).fill(byte));
  const isOther = BEGINNINGS.map((character) => v128.equal(raw.get, same(character.charCodeAt(0)))).reduce(
    (sum, part) => v128.or(sum, part),
    v128.lessSigned(raw.get, same(1)),
  );
  return {
    name: "copyPlain",
    parameters: 3,
    locals,
    code: [
      ...repeatWhile(
        i32.and(i32.eqz(others.get), i32.ltU(at.get, end.get)),
        raw.set(v128.load(0, at.get)),
        v128.store(0, out.get, raw.get),
        others.set(v128.bitmask(isOther)),
        at.set(i32.add(at.get, i32.const(TURN))),
        out.set(i32.add(out.get, i32.const(TURN))),
      ),
      ...when(others.get, at.set(i32.add(i32.sub(at.get, i32.const(TURN)), i32.ctz(others.get)))),
      ...at.get,
    ],
  };
}
