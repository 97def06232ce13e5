/** Whether this machine can run micro-VMs, and a cache that the tests share: an image takes half a minute to make. */
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findHostParts } from "../../src/backends/qemu/parts.ts";
import { ownUid } from "../../src/lib/paths.ts";

/** Kept from run to run. `.ci/run` unpacks a kernel into it. */
export const VM_CACHE =
  process.env["BOT_BOTTLE_TEST_CACHE"] ?? join(tmpdir(), `bot-bottle-test-cache-${ownUid()}`);

/** Makes the shared cache this process's. @returns what is missing, or undefined. */
export async function vmLack(): Promise<string | undefined> {
  mkdirSync(VM_CACHE, { recursive: true, mode: 0o700 });
  process.env["BOT_BOTTLE_CACHE"] = VM_CACHE;
  const found = await findHostParts(VM_CACHE);
  if (!("lacks" in found)) return undefined;
  const lack = found.lacks.map(({ what, remedy }) => `${what} (${remedy})`).join("; ");
  console.warn(`NO MICRO-VM IS TRIED HERE, this machine lacks ${lack}`);
  return lack;
}
