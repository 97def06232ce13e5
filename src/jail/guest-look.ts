/** What a guest's system has of the programs that a bottle needs, looked for without running any of them. */
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { isAbsolute } from "node:path";
import { programOnPath } from "../lib/program-on-path.ts";

export interface LookedFor {
  readonly path: string;
  readonly names: readonly string[];
  /** What is to run, by its name or place. */
  readonly agent: string;
}

export interface Found {
  readonly missing: readonly string[];
  /** What the agent's program itself is started by, and which is not there: a loader, or a script's interpreter. */
  readonly missingLoader?: string;
}

/** Headers of a program, or a script's first line. */
const HEAD_BYTES = 64 * 1024;
const ELF64_LITTLE_ENDIAN = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
const PT_INTERP = 3;

export function lookFor({ path, names, agent }: LookedFor): Found {
  const missing = names.filter((name) => programOnPath(name, path) === undefined);
  const program = isAbsolute(agent) ? agent : programOnPath(agent, path);
  if (program === undefined || !existsSync(program)) return { missing: [...missing, agent] };
  const loader = loaderOf(head(program));
  return loader === undefined || existsSync(loader) ? { missing } : { missing, missingLoader: loader };
}

function head(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(HEAD_BYTES);
    return bytes.subarray(0, readSync(file, bytes, 0, HEAD_BYTES, 0));
  } finally {
    closeSync(file);
  }
}

/** Undefined of a program that is linked statically, or is none that we know. */
export function loaderOf(bytes: Buffer): string | undefined {
  if (bytes.subarray(0, 2).toString("latin1") === "#!") {
    return /^#!\s*(\S+)/.exec(bytes.subarray(0, 256).toString("utf8"))?.[1];
  }
  if (bytes.length < 64 || !bytes.subarray(0, 6).equals(ELF64_LITTLE_ENDIAN)) return undefined;
  const [at, size, count] = [
    Number(bytes.readBigUInt64LE(32)),
    bytes.readUInt16LE(54),
    bytes.readUInt16LE(56),
  ];
  for (let i = 0; i < count; i++) {
    const header = bytes.subarray(at + i * size, at + (i + 1) * size);
    if (header.length < 56) return undefined;
    if (header.readUInt32LE(0) !== PT_INTERP) continue;
    const from = Number(header.readBigUInt64LE(8));
    return bytes.subarray(from, from + Number(header.readBigUInt64LE(32)) - 1).toString("utf8") || undefined;
  }
  return undefined;
}
