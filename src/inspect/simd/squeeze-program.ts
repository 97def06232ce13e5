/** What `squeezeBytes` in squeeze.ts does, sixteen bytes a turn: of each eight, those that are kept are moved side by side at once. */
import { BASE64, HEX } from "../byte-classes.ts";
import { type Code, i32, type Local, Locals, type Program, repeatWhile, v128, when } from "./assembler.ts";
import { classBits } from "./byte-sets.ts";
import { openTurn } from "./turn.ts";

const TURN = 16;
const HALF = 8;

/** For each mask of HALF bytes, the places that it has. */
export const PLACES = Uint8Array.from({ length: 256 * HALF }, (_, i) => {
  const mask = Math.floor(i / HALF);
  const places = Array.from({ length: HALF }, (_, place) => place).filter((place) => (mask >> place) & 1);
  return places[i % HALF] ?? 0;
});

/**
 * Parameters: where the text begins and ends, and where its digits go. Result: where the next would go.
 *
 * @param places the address of PLACES.
 */
export function squeezeProgram(name: string, hex: boolean, places: number): Program {
  const locals = new Locals(3);
  const [at, end, out] = [0, 1, 2].map((i) => locals.parameter(i)) as [Local, Local, Local];
  const turn = openTurn(locals, at, [0]);
  const raw = turn.bytes(0);
  const [kept, escaped, before] = [locals.new("i32"), locals.new("i32"), locals.new("i32")];
  const left = i32.sub(end.get, at.get);
  /** The mask of bytes that are one of these characters. */
  const those = (bytes: Code, characters: string): Code =>
    v128.bitmask(
      [...characters]
        .map((character) => v128.equal(bytes, turn.same(character.charCodeAt(0))))
        .reduce((sum, part) => v128.or(sum, part)),
    );
  const keep = (mask: Code): Code => kept.set(i32.and(kept.get, mask));
  const drop = (mask: Code): Code => keep(i32.xor(mask, i32.const(-1)));
  const dropPrefixes = drop(i32.and(those(raw, "0"), those(v128.load(1, at.get), "xX")));
  const dropEscapes = [
    ...escaped.set(i32.or(i32.shl(those(raw, "\\"), i32.const(1)), before.get)),
    ...before.set(i32.shrU(escaped.get, i32.const(TURN))),
    ...drop(i32.and(escaped.get, those(raw, "nrtx"))),
  ];
  const move = (from: number): Code => {
    const mask = i32.and(i32.shrU(kept.get, i32.const(from)), i32.const(0xff));
    const order = v128.loadHalf(places, i32.mul(mask, i32.const(HALF)));
    return [
      ...v128.store(0, out.get, v128.swizzle(raw, v128.add(order, turn.same(from)))),
      ...out.set(i32.add(out.get, i32.popcnt(mask))),
    ];
  };
  return {
    name,
    parameters: 3,
    locals,
    code: [
      ...repeatWhile(
        i32.ltU(at.get, end.get),
        turn.load,
        kept.set(v128.bitmask(turn.isIn(0, classBits(hex ? HEX : BASE64)))),
        hex ? dropPrefixes : dropEscapes,
        when(i32.ltU(left, i32.const(TURN)), keep(i32.sub(i32.shl(i32.const(1), left), i32.const(1)))),
        move(0),
        move(HALF),
        at.set(i32.add(at.get, i32.const(TURN))),
      ),
      ...out.get,
    ],
  };
}
