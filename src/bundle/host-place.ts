/**
 * Where a sidecar runs on this host: confined, where the host has namespaces to do it with. Where it has none (macOS, a
 * Linux that gives an ordinary user none) it is a process like any of the operator's, and the preflight says so.
 */
import { codeOf, UserError } from "../lib/errors.ts";
import { run } from "../lib/processes.ts";
import type { PlannedPlace } from "./bundle.ts";
import type { SidecarJail } from "./sidecar-process.ts";

/** It takes some milliseconds; a host that is slow today is no host without namespaces. */
const PROBE_TIMEOUT_MS = 10_000;
const PROBE = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--", "true"] as const;

export type HostPlaces = "container" | "jail" | "plain";

let confined: Promise<boolean> | undefined;

/** Tried once. Of what cannot be told it is yes: then the sidecar does not start, instead of starting unconfined. */
export function canConfine(): Promise<boolean> {
  // Root needs nobody's leave.
  confined ??=
    process.platform === "linux" && process.getuid?.() === 0
      ? Promise.resolve(true)
      : run(PROBE, { timeoutMs: PROBE_TIMEOUT_MS }).then(
          ({ code }) => code === 0,
          (error: unknown) => codeOf(error) !== "ENOENT",
        );
  return confined;
}

/** @throws UserError for root, whose sidecars would be root too. */
export async function hostPlaces(): Promise<"jail" | "plain"> {
  if (await canConfine()) return "jail";
  if (process.getuid?.() !== 0) return "plain";
  throw new UserError("sidecars cannot be confined on this host, and as root they would be root", {
    hint: "run bottle as an ordinary user, or have bundle: container in the bottle",
  });
}

export function placeAt(places: HostPlaces, rootDir: string, jail?: SidecarJail): PlannedPlace {
  switch (places) {
    case "container":
      return { kind: "contained" };
    case "jail":
      return { kind: "jail", rootDir, ...(jail && { jail }) };
    case "plain":
      return { kind: "plain" };
  }
}
