/** What goes into an image besides itself, told apart without reading it: it was checked when it was installed. */
import { createHash } from "node:crypto";
import type { PlannedMount } from "../contract/plan.ts";
import { walk } from "../lib/archive/pack-tar.ts";
import { statusOf } from "../lib/archive/status.ts";

/** Of their places, names, kinds, modes, sizes and times. */
export function toolsDigest(tools: readonly PlannedMount[]): string {
  const hash = createHash("sha256");
  const add = (...fields: readonly (string | number)[]): void => {
    hash.update(`${JSON.stringify(fields)}\n`);
  };
  for (const { from, to } of tools) {
    add(to);
    for (const { name, path } of walk(Buffer.from(from), Buffer.from("."))) {
      const status = statusOf(path);
      if (status !== undefined)
        add(name.toString("latin1"), status.mode, status.size, Math.floor(status.mtimeMs));
    }
  }
  return hash.digest("hex");
}
