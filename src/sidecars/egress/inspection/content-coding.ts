/** Bodies that are compressed are read as what they mean: what cannot be undone cannot be looked into. */
import type { Transform } from "node:stream";
import { constants, createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from "node:zlib";
import { createZstdUnpacker, READS_ZSTD } from "../../../lib/zstd.ts";
import type { RequestHead } from "../rules/head.ts";

export type Coding = "gzip" | "deflate" | "br" | "zstd";

/** More than one is a game: no client packs twice. */
export type Codings =
  | { readonly kind: "none" }
  | { readonly kind: "one"; readonly coding: Coding }
  | { readonly kind: "unreadable" };

const NONE: Codings = { kind: "none" };

/** @param values of every `Content-Encoding` there is. */
export function codingsOf(values: readonly string[]): Codings {
  const named = values
    .flatMap((value) => value.split(","))
    .map((each) => each.trim().toLowerCase())
    .filter((each) => each !== "" && each !== "identity");
  const [only, ...more] = named;
  if (only === undefined) return NONE;
  const coding = more.length === 0 ? CODINGS.get(only) : undefined;
  return coding === undefined ? { kind: "unreadable" } : { kind: "one", coding };
}

const CODINGS: ReadonlyMap<string, Coding> = new Map([
  ["gzip", "gzip"],
  ["x-gzip", "gzip"],
  ["deflate", "deflate"],
  ["br", "br"],
  ...(READS_ZSTD ? [["zstd", "zstd"] as const] : []),
]);

/** For who is told what to use instead. */
export const READABLE_CODINGS = [...new Set(CODINGS.values())].join(", ");

/** Eight megabytes: no sender may want more of who receives (RFC 9659). */
const ZSTD_WINDOW_LOG = 23;

/**
 * What a client's `Accept-Encoding` leaves of what can be looked into, as it is told the upstream. Of a part of
 * something packed nothing can be unpacked, so who asks for a range gets it plain.
 */
export function acceptedEncoding({ names, raw }: Pick<RequestHead, "names" | "raw">): string {
  const wanted = names.flatMap((name, i) => (name === "accept-encoding" ? [raw[2 * i + 1] ?? ""] : []));
  const readable = wanted
    .flatMap((value) => value.split(","))
    .map((each) => each.trim())
    .filter((each) => {
      const [coding = "", quality = ""] = each.toLowerCase().split(/\s*;\s*/);
      return CODINGS.has(coding) && !/^q=0(\.0*)?$/.test(quality);
    });
  return names.includes("range") || readable.length === 0 ? "identity" : readable.join(", ");
}

/** Whether that value of `Accept-Encoding` names the coding, by any of its names. */
export function accepts(acceptEncoding: string, coding: Coding): boolean {
  return acceptEncoding
    .split(",")
    .some((each) => CODINGS.get(each.split(";")[0]?.trim().toLowerCase() ?? "") === coding);
}

/** @param first byte of the body: what is called deflate comes with and without zlib's header. */
export function createDecoder(coding: Coding, first: number): Transform {
  switch (coding) {
    case "gzip":
      // An event stream is flushed event by event, and is passed on so.
      return createGunzip({ flush: constants.Z_SYNC_FLUSH });
    case "deflate":
      return (first & 0x0f) === 8
        ? createInflate({ flush: constants.Z_SYNC_FLUSH })
        : createInflateRaw({ flush: constants.Z_SYNC_FLUSH });
    case "br":
      return createBrotliDecompress({ flush: constants.BROTLI_OPERATION_FLUSH });
    case "zstd":
      return createZstdUnpacker(ZSTD_WINDOW_LOG);
  }
}
