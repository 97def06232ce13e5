/** The argument vectors of smolvm, release by release. Pure: what is here is what the tests compare word by word. */
import type { Traits } from "./versions.ts";

export type Words = readonly string[];

export interface MachineSpec {
  readonly name: string;
  /** A `.smolmachine`. */
  readonly from: string;
  readonly network:
    | { readonly kind: "none"; readonly sockets: readonly MountedSocket[] }
    /** `allow`: address ranges; empty for no policy of smolvm's own. */
    | { readonly kind: "net"; readonly allow: readonly string[] };
  readonly cpus?: number;
  readonly memoryMiB?: number;
}

export interface MountedSocket {
  readonly host: string;
  readonly guest: string;
}

export const versionCommand: Words = ["--version"];
export const listCommand: Words = ["machine", "ls", "--json"];

/** No environment: what is given here stays in a database as plain text, and no exec sees it. No volume, ever. */
export function createCommand(traits: Traits, spec: MachineSpec): Words {
  const { name, from, network, cpus, memoryMiB } = spec;
  return [
    ...["machine", "create", ...named(traits, name)],
    ...["--from", from],
    ...(cpus === undefined ? [] : ["--cpus", String(cpus)]),
    ...(memoryMiB === undefined ? [] : ["--mem", String(memoryMiB)]),
    ...(network.kind === "net"
      ? ["--net", ...network.allow.flatMap((range) => ["--allow-cidr", range])]
      : network.sockets.flatMap(({ host, guest }) => ["--mount-socket", `${host}:${guest}`])),
  ];
}

export function startCommand(name: string): Words {
  return ["machine", "start", "--name", name];
}

export function stopCommand(name: string): Words {
  return ["machine", "stop", "--name", name];
}

/** Without `-f` it asks, hears nothing, and says that all is well. */
export function deleteCommand(traits: Traits, name: string): Words {
  return ["machine", "delete", ...named(traits, name), "-f"];
}

export function statusCommand(name: string): Words {
  return ["machine", "status", "--name", name, "--json"];
}

/**
 * Runs as the guest's root; there is no flag for another user. `--name` has no short form here.
 * `input`: its streams are carried while it runs; without that its output comes at its end.
 */
export function execCommand(
  name: string,
  argv: readonly [string, ...string[]],
  how: { readonly input?: boolean; readonly terminal?: boolean } = {},
): Words {
  const flags = [...(how.input ? ["-i"] : []), ...(how.terminal ? ["-i", "-t"] : [])];
  return ["machine", "exec", "--name", name, ...flags, "--", ...argv];
}

/** One file. Its owner is set by a command of the guest's: only late releases have a flag for that. */
export function copyInCommand(name: string, from: string, to: string): Words {
  return ["machine", "cp", from, `${name}:${to}`];
}

/** Writes `output`, a launcher, and `output`.smolmachine, which is the one to use. */
export function packCommand(image: string, output: string): Words {
  return ["pack", "create", "--image", image, "--output", output];
}

function named(traits: Traits, name: string): Words {
  return traits.names === "positional" ? [name] : ["--name", name];
}
