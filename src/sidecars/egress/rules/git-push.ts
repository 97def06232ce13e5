/**
 * Writing to a git repository over HTTPS, recognised on every route and refused: what is pushed that way would
 * have been scanned by nobody (I4), so git-gate is the only way. Fetching passes like any other request.
 *
 * Recognised by what git's protocols cannot do without (gitprotocol-http, git-lfs' batch API, git-http-push), in
 * every spelling that a server might still understand. Not recognised: a forge's own API for making commits.
 */
import { type Refusal, refuse } from "../denial.ts";
import type { RequestHead } from "./head.ts";
import { withoutQuery } from "./path.ts";

/** Servers behind servers each undo one layer of escapes; nobody honest has more. */
const DECODINGS = 3;

const RECEIVE_PACK = "git-receive-pack";
const READING: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);
/** What git-http-push, which needs no git on the server, writes with. */
const WEBDAV: ReadonlySet<string> = new Set(["LOCK", "MKCOL", "MOVE", "PROPPATCH", "PUT"]);

/** What a path must have in it to be looked at more closely: most have not. */
const MENTION = /git|lfs|%/i;

export interface GitRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly head: RequestHead;
}

export function refusedPush({ method, path, head }: GitRequest): Refusal | undefined {
  if (namesReceivePack(path) || speaksReceivePack(head)) return pushRefused();
  if (READING.has(method) || !MENTION.test(path)) return undefined;
  const segments = segmentsOf(path);
  if (segments.some((segment) => /^git-receive-pack(?:\.|$)/.test(segment))) return pushRefused();
  if (WEBDAV.has(method) && segments.some((segment) => segment.endsWith(".git"))) return pushRefused();
  const objects = indexOfLfsObjects(segments);
  // Anything but a batch is the upload itself, or the API of before there were batches.
  if (objects >= 0 && !(method === "POST" && segments[objects + 1] === "batch")) return pushRefused();
  return undefined;
}

/** True for a request whose body says whether it is about downloading or uploading. */
export function isLfsBatch({ method, path, head }: GitRequest): boolean {
  if (READING.has(method)) return false;
  const segments = segmentsOf(path);
  if (segments.at(-1) !== "batch" || segments.at(-2) !== "objects") return false;
  return indexOfLfsObjects(segments) >= 0 || valuesOf(head, TYPES).some((type) => type.includes("git-lfs"));
}

/**
 * Refuses a batch unless it plainly asks for downloads.
 * @param body unpacked; undefined when it was too long to be read.
 */
export function refusedBatch(body: Buffer | undefined): Refusal | undefined {
  if (body !== undefined && operationOf(body.toString("utf8")) === "download") return undefined;
  return refuse(
    "git-push-refused",
    "this asks to upload to git's large file storage, or does not plainly ask to download",
    PUSH_RULE,
  );
}

const PUSH_RULE = "git push goes through git-gate, which scans it; over https there is only fetch";

function pushRefused(): Refusal {
  return refuse(
    "git-push-refused",
    "git push does not go through egress: push to the remote that the bottle's git-gate serves",
    PUSH_RULE,
  );
}

/** `?service=git-receive-pack`, with which every push over smart HTTP begins. */
function namesReceivePack(path: string): boolean {
  const query = path.indexOf("?");
  if (query < 0) return false;
  return decoded(path.slice(query + 1))
    .split(/[&;?]/)
    .some((field) => /^\s*service\s*=\s*["']?\s*git-receive-pack/.test(field));
}

const TYPES = ["content-type", "accept"] as const;

function speaksReceivePack(head: RequestHead): boolean {
  return valuesOf(head, TYPES).some((type) => type.includes(RECEIVE_PACK));
}

function valuesOf({ names, raw }: RequestHead, wanted: readonly string[]): readonly string[] {
  const values: string[] = [];
  for (const [i, name] of names.entries()) {
    if (wanted.includes(name)) values.push((raw[2 * i + 1] ?? "").trim().toLowerCase());
  }
  return values;
}

/** As the most lenient server might read them: unescaped, in lower case, without parameters and empty ones. */
function segmentsOf(path: string): readonly string[] {
  return decoded(withoutQuery(path))
    .split(/[/\\]/)
    .map((segment) => segment.replace(/;.*$/s, "").trim())
    .filter((segment) => segment !== "" && segment !== ".");
}

function indexOfLfsObjects(segments: readonly string[]): number {
  return segments.findIndex(
    (segment, i) => segment === "objects" && segments[i - 1] === "lfs" && segments[i - 2] === "info",
  );
}

function decoded(text: string): string {
  let result = text;
  for (let i = 0; i < DECODINGS && /[%+]/.test(result); i++) {
    result = result
      .replace(/\+/g, " ")
      .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  }
  return result.toLowerCase();
}

/** The batch's one operation; undefined when it says none, several, or says it so that readers could differ. */
function operationOf(text: string): string | undefined {
  let batch: unknown;
  try {
    batch = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof batch !== "object" || batch === null || Array.isArray(batch)) return undefined;
  // Go's decoder, which most servers use, takes any case, and of two the last.
  const plain = text.replace(/\\u([0-9a-f]{4})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  if (plain.match(/"operation"\s*:/gi)?.length !== 1) return undefined;
  const [operation] = Object.entries(batch).flatMap(([key, value]: [string, unknown]) =>
    key === "operation" && typeof value === "string" ? [value] : [],
  );
  return operation;
}
