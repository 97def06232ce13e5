/**
 * WebAssembly, written as expressions: `i32.add(x, i32.const(1))` is the bytes that compute it. Only what the programs
 * beside this file use. https://webassembly.github.io/spec/core/binary/
 */

/** Bytes of instructions. */
export type Code = readonly number[];

type Operation = (...operands: readonly Code[]) => Code;

const operation =
  (...opcode: readonly number[]): Operation =>
  (...operands) => [...operands.flat(), ...opcode];

const wide = (opcode: number): Operation => operation(0xfd, ...unsigned(opcode));

const atMemory =
  (opcode: readonly number[], alignment: number) =>
  (offset: number, ...operands: readonly Code[]): Code => [
    ...operands.flat(),
    ...opcode,
    alignment,
    ...unsigned(offset),
  ];

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  eqz: operation(0x45),
  eq: operation(0x46),
  ne: operation(0x47),
  ltU: operation(0x49),
  ctz: operation(0x68),
  popcnt: operation(0x69),
  add: operation(0x6a),
  sub: operation(0x6b),
  mul: operation(0x6c),
  and: operation(0x71),
  or: operation(0x72),
  xor: operation(0x73),
  shl: operation(0x74),
  shrU: operation(0x76),
  /** Operands: the address, and for `store` the value. */
  load: atMemory([0x28], 0),
  load8: atMemory([0x2d], 0),
  load16: atMemory([0x2f], 0),
  store: atMemory([0x36], 0),
} as const;

/** Sixteen bytes at once; the names are those of the standard, without `i8x16.` where it is clear. */
export const v128 = {
  load: atMemory([0xfd, 0x00], 0),
  /** Eight bytes, and zeros. */
  loadHalf: atMemory([0xfd, 0x5d], 0),
  store: atMemory([0xfd, 0x0b], 0),
  const: (bytes: readonly number[]): Code => [0xfd, 0x0c, ...bytes],
  swizzle: wide(0x0e),
  equal: wide(0x23),
  equal16: wide(0x2d),
  lessSigned: wide(0x25),
  lessUnsigned: wide(0x26),
  and: wide(0x4e),
  andNot: wide(0x4f),
  or: wide(0x50),
  /** Bits of the first where the third has ones, else of the second. */
  select: wide(0x52),
  anyTrue: wide(0x53),
  bitmask: wide(0x64),
  /** Halves the width of what is all ones or all zeros: of two times eight lanes, of two times four. */
  narrow16: wide(0x65),
  narrow32: wide(0x85),
  shiftLeft16: wide(0x8b),
  shiftRight16: wide(0x8d),
  shiftLeft32: wide(0xab),
  shiftRight32: wide(0xad),
  add: wide(0x6e),
  equal32: wide(0x37),
} as const;

const TYPES = { i32: 0x7f, v128: 0x7b } as const;

export interface Local {
  readonly get: Code;
  set(value: Code): Code;
  /** Sets it, and is the value. */
  tee(value: Code): Code;
}

/** The body of a function under construction: its locals. */
export class Locals {
  readonly #types: number[] = [];
  readonly #parameters: number;
  readonly #constants = new Map<string, { readonly bytes: readonly number[]; readonly local: Local }>();

  constructor(parameters: number) {
    this.#parameters = parameters;
  }

  parameter(index: number): Local {
    return local(index);
  }

  new(type: keyof typeof TYPES): Local {
    this.#types.push(TYPES[type]);
    return local(this.#parameters + this.#types.length - 1);
  }

  /** Sixteen bytes that stay the same. In a local, since engines make a constant anew wherever it stands. */
  constant(bytes: readonly number[]): Code {
    const key = bytes.join();
    const known = this.#constants.get(key) ?? { bytes, local: this.new("v128") };
    this.#constants.set(key, known);
    return known.local.get;
  }

  /** The beginning of the function, to be asked for when all of it is written. */
  get prologue(): Code {
    const constants = [...this.#constants.values()].flatMap(({ bytes, local }) =>
      local.set(v128.const(bytes)),
    );
    return [...unsigned(this.#types.length), ...this.#types.flatMap((type) => [1, type]), ...constants];
  }
}

function local(index: number): Local {
  const at = unsigned(index);
  return {
    get: [0x20, ...at],
    set: (value) => [...value, 0x21, ...at],
    tee: (value) => [...value, 0x22, ...at],
  };
}

/** As long as the condition, which is asked at the end of each turn. */
/** The condition is asked before each turn, the first one too. */
export function repeatWhile(condition: Code, ...body: readonly Code[]): Code {
  return when(condition, [0x03, 0x40, ...body.flat(), ...condition, 0x0d, 0, 0x0b]);
}

export function when(condition: Code, ...body: readonly Code[]): Code {
  return [...condition, 0x04, 0x40, ...body.flat(), 0x0b];
}

export function choose(condition: Code, then: readonly Code[], otherwise: readonly Code[]): Code {
  return [...condition, 0x04, 0x40, ...then.flat(), 0x05, ...otherwise.flat(), 0x0b];
}

export interface Program {
  readonly name: string;
  /** All i32, and so is the result. */
  readonly parameters: number;
  readonly locals: Locals;
  readonly code: Code;
}

/** A module that imports `env.memory` and exports its programs. */
export function assemble(programs: readonly Program[], pages: number): Uint8Array<ArrayBuffer> {
  const types = programs.map(({ parameters }) => [
    0x60,
    ...vector(new Array<number[]>(parameters).fill([TYPES.i32])),
    ...vector([[TYPES.i32]]),
  ]);
  const memory = [...name("env"), ...name("memory"), 0x02, 0x01, ...unsigned(pages), ...unsigned(pages)];
  const bodies = programs.map(({ locals, code }) => {
    const body = [...locals.prologue, ...code, 0x0b];
    return [...unsigned(body.length), ...body];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vector(types)),
    ...section(2, vector([memory])),
    ...section(3, vector(programs.map((_, i) => unsigned(i)))),
    ...section(7, vector(programs.map((program, i) => [...name(program.name), 0x00, ...unsigned(i)]))),
    ...section(10, vector(bodies)),
  ]);
}

function section(id: number, content: Code): Code {
  return [id, ...unsigned(content.length), ...content];
}

function vector(items: readonly Code[]): Code {
  return [...unsigned(items.length), ...items.flat()];
}

function name(text: string): Code {
  return vector([...Buffer.from(text)].map((byte) => [byte]));
}

/** LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  do {
    const more = rest >>> 7 === 0 ? 0 : 0x80;
    bytes.push((rest & 0x7f) | more);
    rest >>>= 7;
  } while (rest !== 0);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    const isLast = (rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0);
    bytes.push(isLast ? byte : byte | 0x80);
    if (isLast) return bytes;
  }
}
