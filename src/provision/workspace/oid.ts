import type { ObjectFormat } from "./repository.ts";

/** Lower-case hex of either format; whatever else a guest calls an id is none. */
export function isOid(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** The tree with nothing in it, which every git knows without having it. */
export function emptyTree(format: ObjectFormat): string {
  return format === "sha1"
    ? "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    : "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321";
}
