/** Pushes that no git would send: packs made by hand, in a request of one's own. */
import { createHash } from "node:crypto";
import { request } from "node:http";
import { deflateSync } from "node:zlib";

const TYPES = { commit: 1, tree: 2, blob: 3, tag: 4, "offset delta": 6, delta: 7 } as const;

export interface PackObject {
  readonly type: keyof typeof TYPES;
  readonly data: Buffer;
  /** Of a delta: the id of what it stands on. */
  readonly base?: string;
  /** What it says of its length, when that is not true. */
  readonly size?: number;
  /** Its bytes as they lie in the pack, when they are not those of `data`. */
  readonly deflated?: Buffer;
}

/** Source: gitformat-pack(5). @param count what it says of its number of objects, when that is not true. */
export function packOf(objects: readonly PackObject[], count = objects.length): Buffer {
  const head = Buffer.alloc(12);
  head.write("PACK");
  head.writeUInt32BE(2, 4);
  head.writeUInt32BE(count, 8);
  const body = objects.flatMap(({ type, data, base, size = data.length, deflated }) => [
    headOf(TYPES[type], size),
    ...(base === undefined ? [] : [Buffer.from(base, "hex")]),
    deflated ?? deflateSync(data),
  ]);
  const bytes = Buffer.concat([head, ...body]);
  return Buffer.concat([bytes, createHash("sha1").update(bytes).digest()]);
}

function headOf(type: number, size: number): Buffer {
  const bytes = [(type << 4) | (size % 16)];
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes.push((bytes.pop() ?? 0) | 0x80, rest % 128);
  }
  return Buffer.from(bytes);
}

/** A delta that copies pieces `[offset, length]` of its base and adds texts. */
export function deltaOf(
  baseSize: number,
  parts: readonly (readonly [offset: number, length: number] | string)[],
): Buffer {
  const length = parts.reduce((sum, part) => sum + (typeof part === "string" ? part.length : part[1]), 0);
  const bytes = [...varint(baseSize), ...varint(length)];
  for (const part of parts) {
    if (typeof part === "string") bytes.push(part.length, ...Buffer.from(part, "latin1"));
    else {
      const [offset, count] = part;
      bytes.push(0xff, ...[0, 8, 16, 24].map((shift) => (offset >>> shift) & 0xff));
      bytes.push(...[0, 8, 16].map((shift) => (count >>> shift) & 0xff));
    }
  }
  return Buffer.from(bytes);
}

function varint(value: number): number[] {
  const bytes = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return [...bytes, rest];
}

export function objectId(type: string, data: Buffer): string {
  return createHash("sha1").update(`${type} ${data.length}\0`).update(data).digest("hex");
}

export const packet = (text: string | Buffer): Buffer => {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from((bytes.length + 4).toString(16).padStart(4, "0")), bytes]);
};

export interface RawAnswer {
  readonly status: number;
  /** All of it, as latin1; empty when it was cut off. */
  readonly text: string;
}

/** @param commands `<old> <new> <ref>`; what the client can do is added. */
export function rawPush(
  url: string,
  commands: readonly string[],
  pack: Buffer,
  headers: Record<string, string> = {},
): Promise<RawAnswer> {
  const [first = "", ...more] = commands;
  const capable = `${first}\0report-status side-band-64k atomic ofs-delta agent=raw`;
  const body = Buffer.concat([...[capable, ...more].map(packet), Buffer.from("0000"), pack]);
  return new Promise((resolve) => {
    const type = "application/x-git-receive-pack-request";
    const sent = request(
      `${url}/git-receive-pack`,
      { method: "POST", headers: { "Content-Type": type, ...headers } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", () => {});
        response.on("close", () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("latin1") }),
        );
      },
    );
    sent.on("error", () => resolve({ status: 0, text: "" }));
    sent.end(body);
  });
}
