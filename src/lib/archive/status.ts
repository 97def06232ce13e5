import { lstatSync, type Stats } from "node:fs";
import { codeOf } from "../errors.ts";

/** What is at `path` itself, no link followed; undefined when nothing is, or a parent is no folder. */
export function statusOf(path: Buffer | string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
