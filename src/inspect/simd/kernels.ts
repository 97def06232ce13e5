/**
 * The memory in which texts are looked at, and the programs for the processor's wide registers that work in it. Where there
 * is no WebAssembly, or none with SIMD, the memory is any, and sweep.ts does the same in JavaScript.
 */
import { MAY_FOLLOW } from "../disguise.ts";
import { GRAM_WORDS } from "../gram-table.ts";
import { assemble } from "./assembler.ts";
import { base64Program, TURN_DIGITS } from "./base64-program.ts";
import { copyProgram } from "./copy-program.ts";
import { gramProgram } from "./gram-program.ts";
import { runProgram } from "./run-program.ts";
import { PLACES, squeezeProgram } from "./squeeze-program.ts";
import { textProgram } from "./text-program.ts";

const PAGE = 65_536;
/** Before the room for texts. */
const GRAM_BITS = 0;
const FOLLOWING = GRAM_WORDS * 4;
const PLACES_OF_MASKS = FOLLOWING + MAY_FOLLOW.length;
const TABLES = PAGE;

/** A program: what it reads and writes are addresses in the memory; its result is where its output ended. */
interface Programs {
  noteRuns(text: number, end: number, out: number, mayFollow: number): number;
  noteGrams(text: number, end: number, out: number): number;
  unpackBase64(digits: number, end: number, out: number): number;
  copyPlain(text: number, end: number, out: number): number;
  squeezeBase64(text: number, end: number, out: number): number;
  squeezeHex(text: number, end: number, out: number): number;
  tellText(text: number, end: number): number;
}

/** What of WebAssembly is used here; the types of node know no more than its name. */
interface Engine {
  readonly Memory: new (size: { readonly initial: number; readonly maximum: number }) => Memory;
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { readonly env: { readonly memory: Memory } },
  ) => { readonly exports: unknown };
  readonly validate: (code: Uint8Array) => boolean;
}

interface Memory {
  readonly buffer: ArrayBuffer;
}

export interface Workspace {
  readonly memory: ArrayBufferLike;
  /** The first address that is free. */
  readonly free: number;
  readonly kernels: Kernels | undefined;
}

export interface Kernels {
  /** @returns how many entries it wrote. */
  noteRuns(text: number, length: number, events: number): number;
  noteGrams(text: number, length: number, bits: Int32Array, hits: number): number;
  /** Decodes as many whole turns of base64 as `digits` has, and says how many digits those were. Writes 16 bytes at a time. */
  unpackBase64(at: number, digits: number, out: number): number;
  /** Copies what is PLAIN from `text` on, at most `length` bytes, and says how many those were. Writes 16 bytes at a time. */
  copyPlain(text: number, length: number, out: number): number;
  /** Copies the digits of `length` bytes without what stands between them, and says how many those are. Writes 16 bytes at a time. */
  squeeze(text: number, length: number, out: number, hex: boolean): number;
  /** IS_TEXT, another bit where it may be text, both, or zero. */
  tellText(text: number, length: number): number;
}

const PROGRAMS = [
  runProgram,
  () => gramProgram(GRAM_BITS),
  base64Program,
  copyProgram,
  () => squeezeProgram("squeezeBase64", false, PLACES_OF_MASKS),
  () => squeezeProgram("squeezeHex", true, PLACES_OF_MASKS),
  textProgram,
] as const;

/** @param engine {@link engineHere} has it. */
export function openWorkspace(size: number, engine: Engine | undefined): Workspace {
  const pages = Math.ceil((TABLES + size) / PAGE);
  const code =
    engine === undefined
      ? undefined
      : assemble(
          PROGRAMS.map((make) => make()),
          pages,
        );
  if (engine === undefined || code === undefined || !engine.validate(code))
    return { memory: new ArrayBuffer(pages * PAGE), free: TABLES, kernels: undefined };
  // Never grown: views stay good. What of it is not used costs nothing.
  const memory = new engine.Memory({ initial: pages, maximum: pages });
  const { exports } = new engine.Instance(new engine.Module(code), { env: { memory } });
  return { memory: memory.buffer, free: TABLES, kernels: kernelsOf(exports as Programs, memory.buffer) };
}

/** That of this process, if it has one. */
export function engineHere(): Engine | undefined {
  return (globalThis as { readonly WebAssembly?: Engine }).WebAssembly;
}

function kernelsOf(programs: Programs, memory: ArrayBuffer): Kernels {
  new Uint8Array(memory, FOLLOWING, MAY_FOLLOW.length).set(MAY_FOLLOW);
  new Uint8Array(memory, PLACES_OF_MASKS, PLACES.length).set(PLACES);
  const gramBits = new Int32Array(memory, GRAM_BITS, GRAM_WORDS);
  let loaded: Int32Array | undefined;
  return {
    noteRuns: (text, length, events) =>
      (programs.noteRuns(text, text + length, events, FOLLOWING) - events) >> 2,
    noteGrams(text, length, bits, hits) {
      if (loaded !== bits) gramBits.set(bits);
      loaded = bits;
      return (programs.noteGrams(text, text + length, hits) - hits) >> 2;
    },
    unpackBase64(at, digits, out) {
      const turns = digits - (digits % TURN_DIGITS);
      programs.unpackBase64(at, at + turns, out);
      return turns;
    },
    copyPlain: (text, length, out) => Math.min(length, programs.copyPlain(text, text + length, out) - text),
    squeeze: (text, length, out, hex) =>
      (hex ? programs.squeezeHex : programs.squeezeBase64)(text, text + length, out) - out,
    tellText: (text, length) => programs.tellText(text, text + length),
  };
}
