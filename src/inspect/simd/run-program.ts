/**
 * What `noteRuns` in sweep.ts does, 64 bytes (16 words) a turn. Bit `i` of a mask says of word `i` whether it is of a class;
 * above the masks of this turn's words, in the upper half of 32 bits, lie those of the last turn in the lower: shifted
 * and ANDed, they say where a run has become long enough.
 */
import {
  ALPHANUMERICS,
  BASE32_LOWER,
  BASE32_UPPER,
  BASE64,
  BASE64_VALUE,
  CAPITALS,
  DIGITS,
  HEX,
  HEX_ASCII,
  HEX_SEPARATED,
  HEX_VALUE,
  LOUD,
  PHRASE,
  SPACED,
} from "../byte-classes.ts";
import { MARK, RUN } from "../events.ts";
import {
  type Code,
  choose,
  i32,
  type Local,
  Locals,
  type Program,
  repeatWhile,
  v128,
  when,
} from "./assembler.ts";
import { bankBits, classBits } from "./byte-sets.ts";
import { disguiseMarks } from "./disguise-marks.ts";
import { openTurn, TURN, VECTORS } from "./turn.ts";

const LAST_WORD = 0x8000;
const NOTHING = i32.const(0);

/** A mask of the last turn's words, and of those before. */
interface Tracked {
  readonly both: Local;
  readonly before: Local;
}

interface Kind {
  readonly kind: Tracked;
  readonly where: Local;
}

/** Parameters: where the text begins and ends, where events go, and the table MAY_FOLLOW. Result: where the next event would go. */
export function runProgram(): Program {
  const locals = new Locals(4);
  const [at, end, out, mayFollow] = [0, 1, 2, 3].map((i) => locals.parameter(i)) as [
    Local,
    Local,
    Local,
    Local,
  ];
  const turn = openTurn(locals, at);
  const { constant, same, membership, isIn, wordMask, wordsOf, wordsOfNumbers } = turn;
  const begin = locals.new("i32");
  const [a, b, c] = [locals.new("i32"), locals.new("i32"), locals.new("i32")];
  const marks = locals.new("i32");
  const any = locals.new("i32");
  const word = locals.new("i32");
  const classes = locals.new("i32");
  const tracked = (): Tracked => ({ both: locals.new("i32"), before: locals.new("i32") });
  const follow = ({ both, before }: Tracked, mask: Code): Code => [
    ...a.set(mask),
    ...both.set(i32.or(i32.shl(a.get, i32.const(16)), before.get)),
    ...before.set(a.get),
  ];
  const and = (x: Code, y: Code): Code => i32.and(x, y);
  const later = (x: Code, words: number): Code => i32.shl(x, i32.const(words));
  const run2 = (x: Code): Code => and(x, later(x, 1));
  const run3 = (x: Code): Code => and(run2(x), later(x, 2));
  /** Into `b`. */
  const run4 = (x: Code): Code => and(b.tee(run2(x)), later(b.get, 2));
  const run6 = (x: Code): Code => and(c.tee(run4(x)), later(c.get, 2));
  const run8 = (x: Code): Code => and(c.tee(run4(x)), later(c.get, 4));
  const run12 = (x: Code): Code => and(run8(x), later(c.get, 8));
  /** Where a run has just become long enough, of this turn's words. */
  const begins = (long: Code): Code =>
    i32.shrU(i32.and(b.tee(long), i32.xor(later(b.get, 1), i32.const(-1))), i32.const(16));

  /** All kinds of runs: the mask of where they begin, and the bit it stands for. */
  const noted: { readonly bit: number; readonly where: Local }[] = [];
  const note = (bit: number): Local => {
    const where = locals.new("i32");
    noted.push({ bit, where });
    return where;
  };
  const kind = (bit: number): Kind => ({ kind: tracked(), where: note(bit) });
  const look = ({ kind, where }: Kind, words: Code, run: (x: Code) => Code): Code => [
    ...follow(kind, words),
    ...where.set(begins(run(kind.both.get))),
  ];

  const base64 = classBits(BASE64);
  const hex = classBits(HEX);
  const loud = classBits(LOUD);

  /** Only words in such a run of a wider class can be in a run of a narrower one; the last word's may go on. */
  const isWorthwhile = (run: (x: Code) => Code, { both, before }: Tracked): Code =>
    i32.or(i32.shrU(run(both.get), i32.const(16)), i32.and(before.get, i32.const(LAST_WORD)));
  const forget = (...kinds: readonly Kind[]): Code =>
    kinds.flatMap(({ kind, where }) => [...kind.before.set(NOTHING), ...where.set(NOTHING)]);

  const unbroken = tracked();
  const long64 = locals.new("i32");
  const longHex = locals.new("i32");
  const unbrokenRuns: Code = [
    ...follow(unbroken, wordsOf(base64)),
    ...note(BASE64).set(begins(long64.tee(run6(unbroken.both.get)))),
  ];

  const spacedHex = tracked();
  const spaced = tracked();
  const shouted = tracked();
  const audible = tracked();
  const orLater = (x: Local, ...words: readonly number[]): Code =>
    words.reduce((sum: Code, shift) => i32.or(sum, later(x.get, shift)), i32.const(0));
  const separatedRuns: Code = [
    ...follow(spacedHex, wordsOf(classBits(HEX_SEPARATED))),
    ...note(HEX_SEPARATED).set(begins(and(run6(spacedHex.both.get), i32.xor(longHex.get, i32.const(-1))))),
    ...follow(spaced, wordsOf(classBits(SPACED))),
    ...follow(shouted, wordsOf(loud)),
    ...follow(
      audible,
      i32.xor(
        wordMask((k) => v128.equal32(membership(k, loud), same(0))),
        i32.const(0xffff),
      ),
    ),
    // In `a`: words that make a neighbourhood mixed. In `c`: words in such a neighbourhood.
    ...a.set(i32.or(and(audible.both.get, orLater(audible.both, 1, 2, 3, 4, 5, 6)), shouted.both.get)),
    ...any.set(i32.or(a.get, orLater(a, 1, 2, 3, 4, 5, 6))),
    ...note(SPACED).set(begins(and(and(run6(spaced.both.get), i32.xor(long64.get, i32.const(-1))), any.get))),
  ];

  const [alphanumeric, upper32, lower32, digitsOf16, phrase, digitsOf10, capitals] = [
    ALPHANUMERICS,
    BASE32_UPPER,
    BASE32_LOWER,
    HEX,
    PHRASE,
    DIGITS,
    CAPITALS,
  ].map(kind) as [Kind, Kind, Kind, Kind, Kind, Kind, Kind];
  const pairs = [0, 1].map((odd) => ({ odd, ...kind(0x100 << odd) }));
  const upperHalf = bankBits((byte) => {
    const digit = HEX_VALUE[byte] ?? 16;
    return digit < 8 && digit !== 1;
  });
  const pairsOfText = (odd: number): Code =>
    wordMask((k) => {
      const places = constant((i) => (i % 2 === odd ? 0xff : 0));
      return v128.equal32(v128.select(isIn(k, upperHalf), isIn(k, hex), places), same(0xff));
    });
  const alphanumericRuns: Code = [
    ...look(alphanumeric, wordsOf(classBits(ALPHANUMERICS)), run12),
    ...choose(
      isWorthwhile(run4, alphanumeric.kind),
      [
        look(upper32, wordsOf(classBits(BASE32_UPPER)), run4),
        look(lower32, wordsOf(classBits(BASE32_LOWER)), run4),
        follow(digitsOf16.kind, wordsOf(hex)),
        digitsOf16.where.set(begins(longHex.tee(run6(digitsOf16.kind.both.get)))),
        choose(
          isWorthwhile(run4, digitsOf16.kind),
          pairs.map((pair) => look(pair, pairsOfText(pair.odd), run4)),
          [forget(...pairs)],
        ),
      ],
      [
        forget(upper32, lower32, digitsOf16, ...pairs),
        // What the last turn's words were is still asked for.
        longHex.set(i32.shrU(longHex.get, i32.const(16))),
      ],
    ),
  ];
  const numeric = tracked();
  const numericRuns: Code = [
    ...follow(
      numeric,
      wordsOfNumbers(classBits(DIGITS).map((some, bank) => some | (classBits(CAPITALS)[bank] ?? 0))),
    ),
    ...choose(
      isWorthwhile(run2, numeric),
      [
        look(digitsOf10, wordsOfNumbers(classBits(DIGITS)), run2),
        look(capitals, wordsOfNumbers(classBits(CAPITALS)), run3),
      ],
      [forget(digitsOf10, capitals)],
    ),
  ];
  const phraseRuns: Code = look(phrase, wordsOf(classBits(PHRASE)), run8);

  // Base64 of ASCII. Bit `place` of a byte: it can be the digit at that place of a group.
  const phases = VECTORS.map((phase) => ({ phase, ...kind(1 << phase) }));
  const value = (byte: number): number => BASE64_VALUE[byte] ?? 64;
  /** What is to be added to a letter or digit for its value, by its upper half. */
  const toValue = constant((half) => {
    const byte = (half << 4) | 1;
    return value(byte) < 64 ? value(byte) - byte : 0;
  });
  const byLower = constant((bits) => 0b1001 | ((bits & 8) === 0 ? 0b10 : 0) | ((bits & 2) === 0 ? 0b100 : 0));
  const byUpper = constant((bits) => (bits < 2 ? 0b1111 : 0b1110));
  const placesOf = (k: number): Code => {
    const raw = turn.bytes(k);
    const worth = turn.scratch(k);
    return [
      ...worth.set(v128.add(raw, v128.swizzle(toValue, turn.upperHalves(raw)))),
      ...worth.set(
        v128.or(
          v128.and(
            v128.and(
              v128.swizzle(byLower, v128.and(worth.get, same(15))),
              v128.swizzle(byUpper, turn.upperHalves(worth.get)),
            ),
            isIn(k, classBits(ALPHANUMERICS)),
          ),
          v128.and(isIn(k, base64), same(0b1000)),
        ),
      ),
    ];
  };
  const groupsOfText = (phase: number): Code => {
    const places = constant((i) => 1 << ((i - phase) & 3));
    return wordMask((k) => v128.equal32(v128.and(turn.scratch(k).get, places), places));
  };
  const phaseRuns: Code = choose(
    isWorthwhile(run3, unbroken),
    [...VECTORS.map(placesOf), ...phases.map((each) => look(each, groupsOfText(each.phase), run3))],
    [forget(...phases)],
  );
  if (HEX_ASCII !== 0x300) throw new Error("the bits of HEX_ASCII were moved");

  const store = (value: Code): Code => [
    ...i32.store(0, out.get, value),
    ...out.set(i32.add(out.get, i32.const(4))),
  ];
  const eventOf = (kind: number): Code =>
    i32.or(i32.add(i32.sub(at.get, begin.get), i32.shl(word.get, i32.const(2))), i32.const(kind));
  const writeEvents: Code = [
    ...any.set(noted.reduce((sum: Code, { where }) => i32.or(sum, where.get), marks.get)),
    ...repeatWhile(
      any.get,
      word.set(i32.ctz(any.get)),
      classes.set(
        noted.reduce(
          (sum: Code, { bit, where }) =>
            i32.or(
              sum,
              i32.shl(and(i32.shrU(where.get, word.get), i32.const(1)), i32.const(31 - Math.clz32(bit))),
            ),
          i32.const(0),
        ),
      ),
      when(classes.get, store(eventOf(RUN)), store(classes.get)),
      when(and(i32.shrU(marks.get, word.get), i32.const(1)), store(eventOf(MARK))),
      any.set(and(any.get, i32.sub(any.get, i32.const(1)))),
    ),
  ];

  return {
    name: "noteRuns",
    parameters: 4,
    locals,
    code: [
      ...begin.set(at.get),
      ...repeatWhile(
        i32.ltU(at.get, end.get),
        turn.load,
        unbrokenRuns,
        alphanumericRuns,
        separatedRuns,
        numericRuns,
        phraseRuns,
        phaseRuns,
        disguiseMarks(turn, { mayFollow, marks, scratch: [a, b, c] }),
        writeEvents,
        at.set(i32.add(at.get, i32.const(TURN))),
      ),
      ...out.get,
    ],
  };
}
