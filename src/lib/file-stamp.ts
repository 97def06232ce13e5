/** Whether a file is still what it was, without reading it. */
import { statSync } from "node:fs";
import { codeOf } from "./errors.ts";

/** Another one for whatever was written or put in its place since; undefined when there is none, or it is hidden from us. */
export function fileStamp(path: string): string | undefined {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return [ino, size, mtimeNs, ctimeNs].join("-");
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR" || codeOf(error) === "EACCES")
      return undefined;
    throw error;
  }
}
