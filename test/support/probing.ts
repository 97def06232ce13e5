/** The same probes inside of a guest and outside, side by side: what is refused inside must be possible outside. */
import { GUEST, type Guest } from "../../src/contract/backend.ts";
import { packagePath } from "../../src/lib/package-root.ts";
import { runOk } from "../../src/lib/processes.ts";
import { runIn } from "./bottle-guest.ts";

export type Probe =
  | { readonly kind: "tcp" | "udp"; readonly host: string; readonly port: number }
  /** A path, or a name after `@` for the abstract ones. */
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "resolve"; readonly name: string; readonly server: string }
  | { readonly kind: "lookup"; readonly name: string }
  | { readonly kind: "read" | "list" | "write"; readonly path: string };

const PROGRAM = packagePath("test/escape/namespace/programs/probes.mjs");

let programs = 0;

/** Several may go on at once: two tars that write one file get into each other's way. */
export async function probeInside(guest: Guest, probes: readonly Probe[]): Promise<readonly string[]> {
  programs += 1;
  const path = `${GUEST.home}/.probes-${programs}.mjs`;
  await guest.copyIn(PROGRAM, path, { user: "agent" });
  const { stdout, stderr } = await runIn(guest, ["node", path], { stdin: JSON.stringify(probes) });
  return parse(stdout, stderr.toString());
}

export async function probeOutside(probes: readonly Probe[]): Promise<readonly string[]> {
  const { stdout, stderr } = await runOk([process.execPath, PROGRAM], { stdin: JSON.stringify(probes) });
  return parse(stdout, stderr);
}

function parse(stdout: Buffer, stderr: string): readonly string[] {
  try {
    return JSON.parse(stdout.toString()) as string[];
  } catch {
    throw new Error(`the probes said: ${stdout.toString()}${stderr}`);
  }
}
