import { createCipheriv, createHash } from "node:crypto";
import { closeSync, type Dirent, fstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { deflateSync } from "node:zlib";

/** Files larger than this are archives and databases, which nobody's request holds as text. */
const LARGEST_FILE = 16 * 1024 * 1024;

/** Text files below `folder`, in order of their names, until `most` bytes were given. Links are not followed. */
export function* textsUnder(folder: string, most: number): Generator<{ path: string; bytes: Buffer }> {
  let given = 0;
  for (const path of filesUnder(folder)) {
    if (given > most) return;
    const bytes = contents(path);
    if (bytes === undefined || bytes.length > LARGEST_FILE || bytes.subarray(0, 4096).includes(0)) continue;
    given += bytes.length;
    yield { path, bytes };
  }
}

/** Of a program, or a library, so much: of its end, where tables are. */
const PROGRAM_END = 60_000;

/** Ends of programs and libraries below `folder`, until `most` bytes were given. Links are not followed. */
export function* programsUnder(folder: string, most: number): Generator<{ path: string; bytes: Buffer }> {
  let given = 0;
  for (const path of filesUnder(folder)) {
    if (given > most) return;
    const bytes = endOf(path);
    if (bytes === undefined || !bytes.subarray(0, 4096).includes(0)) continue;
    given += bytes.length;
    yield { path, bytes };
  }
}

function endOf(path: string): Buffer | undefined {
  try {
    const file = openSync(path, "r");
    try {
      const bytes = Buffer.alloc(PROGRAM_END);
      const read = readSync(file, bytes, 0, PROGRAM_END, Math.max(0, fstatSync(file).size - PROGRAM_END));
      return bytes.subarray(0, read);
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}

function* filesUnder(folder: string): Generator<string> {
  for (const entry of entriesOf(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesUnder(path);
    else if (entry.isFile()) yield path;
  }
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    return [];
  }
}

function contents(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** Bytes as random as any, and the same on each run. */
const stream = createCipheriv("aes-256-ctr", Buffer.alloc(32, 1), Buffer.alloc(16, 2));

function randomBytes(length: number): Buffer {
  return stream.update(Buffer.alloc(length));
}

function random(): number {
  return randomBytes(4).readUInt32BE() / 2 ** 32;
}

function randomUUID(): string {
  return randomBytes(16)
    .toString("hex")
    .replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

/** Machine code, tables of zeros and short names: the beginning of this very program. */
function executable(): Buffer {
  const bytes = Buffer.alloc(100_000);
  const file = openSync(process.execPath, "r");
  readSync(file, bytes, 0, bytes.length, 0);
  closeSync(file);
  return bytes;
}

/** Records of a symbol table: readable at several phases of base64 at once, and short everywhere. */
function symbols(): Buffer {
  return Buffer.concat(
    Array.from({ length: 3000 }, (_, i) => {
      const record = Buffer.alloc(24);
      record.writeUInt32LE(i * 16, 8);
      record.writeUInt16LE(0x12, 4);
      return Buffer.concat([record, Buffer.from(`fn_${i}.o\0`)]);
    }),
  );
}

/** As compiled Go holds them: eight bytes for each small number, a few of a hash, and nothing for a while. */
function descriptors(): Buffer {
  return Buffer.concat(
    Array.from({ length: 1500 }, () => {
      const record = Buffer.alloc(64);
      record.writeUInt8(8, 0);
      record.writeUInt8(8, 8);
      randomBytes(4).copy(record, 16);
      record.writeUInt32LE(0x36080802, 20);
      return record;
    }),
  );
}

export const inLines = (bytes: Buffer): string => bytes.toString("base64").replace(/.{76}/g, "$&\n");

/** In two pieces: whole, it would be read as this file's own. */
const SOURCE_MAP = ["sourceMapping", "URL="].join("");

/** What programs write that is not text of anybody's: each a few megabytes at most. */
export const GENERATED: Readonly<Record<string, () => string>> = {
  "base64 images": () =>
    Array.from(
      { length: 40 },
      () => `<img src="data:image/png;base64,${randomBytes(30_000).toString("base64")}">`,
    ).join("\n"),
  "UUIDs in JSON": () =>
    JSON.stringify(Array.from({ length: 20_000 }, () => ({ id: randomUUID(), parent: randomUUID() }))),
  "hashes of every length": () =>
    Array.from({ length: 10_000 }, (_, i) => {
      const hash = createHash(["md5", "sha1", "sha256", "sha512"][i % 4] ?? "md5").update(String(i));
      return i % 3 === 0 ? `sha512-${hash.digest("base64")}` : hash.digest("hex");
    }).join("\n"),
  "git objects": () =>
    Buffer.concat(
      Array.from({ length: 2000 }, (_, i) =>
        deflateSync(Buffer.concat([Buffer.from(`blob ${i}\0`), randomBytes(i)])),
      ),
    ).toString("latin1"),
  "a git log with trees": () =>
    Array.from({ length: 10_000 }, (_, i) => {
      const id = createHash("sha1").update(`${i}`).digest("hex");
      return `commit ${id}\ntree ${createHash("sha1").update(id).digest("hex")}\n100644 blob ${id}\tsrc/file-${i}.ts\n`;
    }).join(""),
  "logs with numbers": () =>
    Array.from({ length: 20_000 }, (_, i) =>
      JSON.stringify({
        ts: 1_700_000_000_000_000 + i * 977,
        ns: `${1_700_000_000_000_000_000n + BigInt(i) * 104_729n}`,
        span: randomBytes(8).readBigUInt64BE().toString(),
        account: 10_000_000_000_000 + Math.floor(random() * 8e15),
        ratio: random(),
        at: new Date(1.7e12 + i * 1000).toISOString(),
        msg: `GET /v1/items/${Math.floor(random() * 1e12)}?page=${i} 200 in ${(random() * 100).toFixed(6)} ms`,
      }),
    ).join("\n"),
  "tables of numbers": () =>
    Array.from({ length: 20_000 }, (_, i) => [i, random() * 1e6, random() * 1e-3, i * 7919].join("\t")).join(
      "\n",
    ),
  "minified source with a source map": () =>
    `!function(){${Array.from({ length: 20_000 }, (_, i) => `var a${i.toString(36)}=${i}`).join(";")}}();\n//# ${SOURCE_MAP}data:application/json;base64,${Buffer.from(
      JSON.stringify({
        version: 3,
        mappings: "AAAA,EAAAE,SAASC,IAAIC,GAAG;EAAAE,CAAA;".repeat(5000),
        sources: ["a.ts"],
      }),
    ).toString("base64")}`,
  "an executable as an array of bytes": () =>
    executable().toString("hex").replace(/../g, "0x$&, ").replace(/.{72}/g, "$&\n"),
  "an executable in base64 of base64, in lines": () => inLines(Buffer.from(inLines(executable()))),
  "a table of symbols in base64 of base64, in lines": () => inLines(Buffer.from(inLines(symbols()))),
  "a table of types in base64, in lines": () => inLines(descriptors()),
  "a table of types in base64 of base64, in lines": () => inLines(Buffer.from(inLines(descriptors()))),
  "a table of symbols in JSON in base64": () =>
    Buffer.from(JSON.stringify({ file: symbols().toString("base64") })).toString("base64"),
  "tables of code points in hexadecimal": () =>
    Array.from({ length: 90 }, (_, page) => {
      const codes = Array.from(
        { length: 256 },
        (_, i) => 0x4e00 + ((page * 256 + i * 7 + (i >> 3) * 61) % 0x51a5),
      );
      const lines = codes.map((code) => code.toString(16).toUpperCase().padStart(4, "0")).join("");
      return `${page.toString(16).toUpperCase()}\n${lines.replace(/.{64}/g, "$&\n")}`;
    }).join(""),
  "base64 of base64 of base64 of source, in lines": () => {
    let text = Array.from(
      { length: 2000 },
      (_, i) => `const a${i} = f(${i * 7919}, "${randomUUID()}");`,
    ).join("\n");
    for (let i = 0; i < 3; i++) text = Buffer.from(text).toString("base64").replace(/.{76}/g, "$&\n");
    return text;
  },
  "binary as JSON, base64, hex and percent": () => {
    const bytes = randomBytes(60_000);
    return [
      JSON.stringify(bytes.toString("latin1")),
      bytes.toString("base64url"),
      bytes.toString("hex"),
      encodeURIComponent(bytes.toString("latin1")),
    ].join("\n");
  },
};
