/** The small shapes that many keys share. */
import { posix } from "node:path";
import * as z from "zod";
import { accept, type Parsed, parsedText, reject } from "../lib/parsed.ts";

/** Of bottles, agents, skills and repositories: one path segment that needs no quoting anywhere, and no `..`. */
const NAME = /^[A-Za-z0-9](?!.*\.\.)[A-Za-z0-9._-]{0,62}$/;

export function isName(text: string): boolean {
  return NAME.test(text);
}

export const name = z
  .string()
  .regex(NAME, "must be a name: letters, digits, dash, underscore and single dots, at most 63, no slash");

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

export function isVariable(text: string): boolean {
  return VARIABLE.test(text);
}

/** The name of an environment variable. */
export const variable = z
  .string()
  .regex(VARIABLE, "must be the name of an environment variable, such as GITHUB_TOKEN");

const LINE_BREAKERS = /[\p{Cc}\u2028\u2029]/u;

/** Text on one line. Control characters would break out of a header, a gitconfig value or the terminal. */
export const line = z
  .string()
  .min(1, "is empty")
  .refine((text) => !LINE_BREAKERS.test(text), "must be one line, without control characters");

/** A path on the operator's host: absolute, or below `~/`. */
export const hostPath = parsedText((text): Parsed<string> => {
  if (LINE_BREAKERS.test(text)) return reject("must be one line, without control characters");
  if (!text.startsWith("/") && text !== "~" && !text.startsWith("~/")) {
    return reject("must be an absolute path, or begin with ~/");
  }
  if (text.split("/").includes("..")) return reject("must not contain ..");
  return accept(withoutTrailingSlash(posix.normalize(text)));
});

/** A path in the guest: absolute. */
export const guestPath = parsedText((text): Parsed<string> => {
  if (LINE_BREAKERS.test(text)) return reject("must be one line, without control characters");
  if (!text.startsWith("/")) return reject("must be an absolute path");
  if (text.split("/").includes("..")) return reject("must not contain ..");
  return accept(withoutTrailingSlash(posix.normalize(text)));
});

function withoutTrailingSlash(path: string): string {
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}

/** True for `folder` itself and for everything below it. Both absolute and normal. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);
}

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
/** Below this no coding agent starts; above it nobody has a machine: both are slips of a unit. */
const MIN_BYTES = 64 * 2 ** 20;
const MAX_BYTES = 64 * 2 ** 40;

/** `512M`, `2G`, `1.5GiB`: binary units, as every container engine reads them. */
export function byteSizeWithin(least: readonly [number, string], most: readonly [number, string]) {
  return parsedText((text): Parsed<number> => {
    const parts = /^([0-9]{1,6}(?:\.[0-9]{1,3})?) ?([KMGT])(?:i?B)?$/i.exec(text);
    if (parts === null) return reject("must be a size with its unit, such as 512M or 2G");
    const bytes = Math.floor(Number(parts[1]) * (UNITS[(parts[2] ?? "").toUpperCase()] ?? Number.NaN));
    if (bytes < least[0]) return reject(`is too small: at least ${least[1]}`);
    if (bytes > most[0]) return reject(`is too large: at most ${most[1]}`);
    return accept(bytes);
  });
}

/** Of memory. */
export const byteSize = byteSizeWithin([MIN_BYTES, "64M"], [MAX_BYTES, "64T"]);

/** What a guest's file system can have. */
export const diskSize = byteSizeWithin([MIN_BYTES, "64M"], [8 * 2 ** 40, "8T"]);
