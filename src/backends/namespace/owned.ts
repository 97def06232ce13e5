/** Control groups of bottles: each says in its name whose bottle's it is, and of which home. */
import { basename } from "node:path";
import type { OwnedResource } from "../../contract/backend.ts";
import { homeMark } from "../../lib/paths.ts";
import { findGroups } from "./limits.ts";

const PREFIX = "bot-bottle-";

export function groupName(bottle: string): string {
  return `${PREFIX}${bottle}.${homeMark()}`;
}

export async function enumerateGroups(): Promise<readonly OwnedResource[]> {
  return findGroups((name) => name.startsWith(PREFIX)).map((name) => {
    const [bottle = "", mark] = basename(name).slice(PREFIX.length).split(".");
    const resource = { backend: "namespace" as const, bottle, kind: "cgroup", name };
    return mark === homeMark() ? { ...resource, ours: true as const } : resource;
  });
}
