/** What stands before a tar header and changes it: GNU's long names, and pax records. */
import { ArchiveError, MAX_SEGMENTS } from "./tar-format.ts";

/** What an extension said about the entry that follows it. */
export interface Extension {
  readonly name?: Buffer;
  readonly target?: Buffer;
  readonly size?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly attributes?: ReadonlyMap<string, Buffer>;
  readonly sparse?: SparseRecords;
}

/** What pax records say of a sparse file. Three generations of GNU tar did it in three ways. */
interface SparseRecords {
  readonly size?: number;
  /** `offset,length,…` as text, or one number after the other. */
  readonly map?: readonly number[];
  /** The map stands before the content. */
  readonly mapInBody?: true;
}

/** @throws ArchiveError when it is malformed, or says something that the header it extends cannot mean. */
export function decodeExtension(flag: "L" | "K" | "x" | "g", body: Buffer): Extension {
  switch (flag) {
    case "L":
      return { name: untilNul(body) };
    case "K":
      return { target: untilNul(body) };
    case "x":
      return decodePax(body);
    case "g": {
      const global = decodePax(body);
      if (Object.keys(global).length > 0) throw new ArchiveError("a global header changes every entry");
      return {};
    }
  }
}

/** Joins what several extensions said of one entry. @throws ArchiveError when they speak of the same thing. */
export function mergeExtensions(first: Extension, second: Extension): Extension {
  for (const key of Object.keys(second)) {
    if (key in first) throw new ArchiveError(`an entry has its ${key} twice`);
  }
  return { ...first, ...second };
}

function untilNul(body: Buffer): Buffer {
  const end = body.indexOf(0);
  if (end < 0) return body;
  if (body.subarray(end).some((byte) => byte !== 0))
    throw new ArchiveError("a long name contains a NUL byte");
  return body.subarray(0, end);
}

/** Records are `LENGTH KEY=VALUE\n`, the length counting itself. */
function decodePax(body: Buffer): Extension {
  let found: Extension = {};
  const attributes = new Map<string, Buffer>();
  const sparse = new SparseReader();
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const digits = space < 0 ? "" : body.toString("latin1", at, space);
    if (!/^[1-9][0-9]{0,5}$/.test(digits)) throw new ArchiveError("an extended header is malformed");
    const end = at + Number(digits);
    const equals = body.indexOf(0x3d, space);
    if (end > body.length || body[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw new ArchiveError("an extended header is malformed");
    }
    const key = body.toString("latin1", space + 1, equals);
    const value = body.subarray(equals + 1, end - 1);
    const name = attributeName(key);
    if (name !== undefined) {
      if (attributes.has(name)) throw new ArchiveError("an entry has an extended attribute twice");
      attributes.set(name, Buffer.from(value));
    } else if (key === SPARSE_NAME) {
      // Beside a path that only says what wrote it.
      if (sparse.named) throw new ArchiveError("an entry has its name twice");
      found = { ...found, ...paxRecord("path", value) };
      sparse.named = true;
    } else if (key.startsWith(SPARSE_KEY)) {
      sparse.add(key.slice(SPARSE_KEY.length), value);
    } else if (!(key === "path" && sparse.named)) {
      found = mergeExtensions(found, paxRecord(key, value));
    }
    at = end;
  }
  const records = sparse.records();
  return {
    ...found,
    ...(attributes.size > 0 && { attributes }),
    ...(records !== undefined && { sparse: records }),
  };
}

/** As star and GNU tar write them, and everybody who makes images. */
const ATTRIBUTE_KEY = "SCHILY.xattr.";
/** Access lists, in words of their own: told as attributes of these names, which no system has. */
const ACCESS_LIST_KEY = "SCHILY.acl.";

function attributeName(key: string): string | undefined {
  if (key.startsWith(ATTRIBUTE_KEY)) return key.slice(ATTRIBUTE_KEY.length);
  return key.startsWith(ACCESS_LIST_KEY) ? key : undefined;
}

const SPARSE_KEY = "GNU.sparse.";
const SPARSE_NAME = "GNU.sparse.name";

class SparseReader {
  named = false;
  readonly #numbers: number[] = [];
  #size: number | undefined;
  #seen = false;
  #inBody = false;

  add(key: string, value: Buffer): void {
    this.#seen = true;
    switch (key) {
      case "size":
      case "realsize":
        if (this.#size !== undefined) throw new ArchiveError("an entry has its size twice");
        this.#size = paxNumber("size", value);
        return;
      case "offset":
      case "numbytes":
        // Offset and length take turns.
        if ((key === "offset") !== (this.#numbers.length % 2 === 0)) {
          throw new ArchiveError("a sparse file's map is malformed");
        }
        this.#push(value);
        return;
      case "map":
        for (const text of value.toString("latin1").split(",")) this.#push(Buffer.from(text));
        return;
      case "major":
        if (value.toString("latin1") === "1") this.#inBody = true;
        return;
      case "minor":
      case "numblocks":
        return;
      default:
        throw new ArchiveError("a sparse file is of a kind that is not taken");
    }
  }

  records(): SparseRecords | undefined {
    if (!this.#seen) return undefined;
    return {
      ...(this.#size !== undefined && { size: this.#size }),
      ...(this.#inBody ? { mapInBody: true } : { map: this.#numbers }),
    };
  }

  #push(value: Buffer): void {
    if (this.#numbers.length >= 2 * MAX_SEGMENTS) {
      throw new ArchiveError(`a sparse file has more than ${MAX_SEGMENTS} pieces`);
    }
    this.#numbers.push(paxNumber("sparse map", value));
  }
}

function paxRecord(key: string, value: Buffer): Extension {
  switch (key) {
    case "path":
    case "linkpath":
      if (value.includes(0)) throw new ArchiveError("a name contains a NUL byte");
      return key === "path" ? { name: Buffer.from(value) } : { target: Buffer.from(value) };
    case "size":
    case "uid":
    case "gid":
      return { [key]: paxNumber(key, value) };
    case "mtime": {
      const text = value.toString("latin1");
      if (!/^-?[0-9]{1,15}(?:\.[0-9]*)?$/.test(text)) throw new ArchiveError("an entry's mtime is no number");
      return { mtime: Math.max(0, Math.floor(Number(text))) };
    }
    default:
      return {};
  }
}

function paxNumber(key: string, value: Buffer): number {
  const text = value.toString("latin1");
  const number = Number(text);
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(number)) {
    throw new ArchiveError(`an entry's ${key} is no number`);
  }
  return number;
}
