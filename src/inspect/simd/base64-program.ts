/** Decodes base64 of either alphabet, sixteen digits a turn. */
import { type Code, i32, type Local, Locals, type Program, repeatWhile, v128 } from "./assembler.ts";

/** Digits a turn, and bytes. */
export const TURN_DIGITS = 16;
const TURN_BYTES = 12;

/** What is to be added to a digit for its value, by its upper half: right for most. The others need a little more. */
const TO_VALUE: Readonly<Record<number, number>> = { 2: 16, 3: 4, 4: -65, 5: -65, 6: -71, 7: -71 };
const MORE: Readonly<Record<string, number>> = { "+": 3, "-": 1, _: 33 };

/** Parameters: where the digits begin and end, a multiple of TURN_DIGITS apart, and where bytes go. Result: where the next would go. */
export function base64Program(): Program {
  const locals = new Locals(3);
  const [at, end, out] = [0, 1, 2].map((i) => locals.parameter(i)) as [Local, Local, Local];
  const raw = locals.new("v128");
  const bits = locals.new("v128");
  const constant = (value: (place: number) => number): Code =>
    locals.constant(Array.from({ length: 16 }, (_, place) => value(place) & 0xff));
  /** The same 32 bits four times. */
  const word = (value: number): Code => constant((place) => value >>> (8 * (place % 4)));
  const toValue = constant((half) => TO_VALUE[half] ?? 0);
  // Each group's three bytes come out last first.
  const order = constant((place) =>
    place < TURN_BYTES ? Math.floor(place / 3) * 4 + 2 - (place % 3) : 0x80,
  );
  const corrections = Object.entries(MORE).map(([digit, more]) =>
    bits.set(
      v128.add(
        bits.get,
        v128.and(
          v128.equal(
            raw.get,
            constant(() => digit.charCodeAt(0)),
          ),
          constant(() => more),
        ),
      ),
    ),
  );
  const join = (shiftLeft: (x: Code, by: Code) => Code, left: number, mask: number, right: Code): Code =>
    v128.or(v128.and(shiftLeft(bits.get, i32.const(left)), word(mask)), right);
  return {
    name: "unpackBase64",
    parameters: 3,
    locals,
    code: [
      ...repeatWhile(
        i32.ltU(at.get, end.get),
        raw.set(v128.load(0, at.get)),
        bits.set(
          v128.add(
            raw.get,
            v128.swizzle(
              toValue,
              v128.and(
                v128.shiftRight16(raw.get, i32.const(4)),
                constant(() => 15),
              ),
            ),
          ),
        ),
        ...corrections,
        // Two digits to twelve bits, twice that to twenty-four.
        bits.set(join(v128.shiftLeft16, 6, 0x0fc00fc0, v128.shiftRight16(bits.get, i32.const(8)))),
        bits.set(join(v128.shiftLeft32, 12, 0x00fff000, v128.shiftRight32(bits.get, i32.const(16)))),
        v128.store(0, out.get, v128.swizzle(bits.get, order)),
        at.set(i32.add(at.get, i32.const(TURN_DIGITS))),
        out.set(i32.add(out.get, i32.const(TURN_BYTES))),
      ),
      ...out.get,
    ],
  };
}
