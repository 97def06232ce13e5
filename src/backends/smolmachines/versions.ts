/**
 * What releases of smolvm do and do not do, as data. Where two sources disagree, or none was tried, the worse is
 * assumed: isolation is verified from inside anyway. The numbers of the holes are docs/smolmachines.md's.
 */

export interface SmolvmVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

export interface Traits {
  /** How `create` and `delete` take the machine's name. */
  readonly names: "positional" | "option";
  /**
   * Where a guest that was made with `--from --net --allow-cidr` finds this host's 127.0.0.1: at the same address as
   * long as `--from` drops the policy (or it is none of virtio-net's), and later on at the gateway's.
   */
  readonly hostLoopback: "same" | "gateway";
  /** `--mount-socket`: a Unix socket of this host's in the guest, and no network at all. */
  readonly mountsSockets: boolean;
  /** The VMM confines itself when its environment asks for that. */
  readonly confines: boolean;
  /** A policy written into the stored record holds from the next start on. */
  readonly correctable: boolean;
}

/** Of virtio-net, on the guest's side. */
export const GATEWAY = "100.96.0.1";

export const OLDEST: SmolvmVersion = { major: 0, minor: 8, patch: 0 };

/** Each release from which on something is different; the last one that is not newer counts. */
const SINCE: readonly { readonly version: SmolvmVersion; readonly change: Partial<Traits> }[] = [
  { version: { major: 0, minor: 9, patch: 0 }, change: { correctable: false } },
  { version: { major: 1, minor: 0, patch: 2 }, change: { names: "option" } },
  { version: { major: 1, minor: 8, patch: 0 }, change: { hostLoopback: "gateway" } },
  { version: { major: 1, minor: 9, patch: 0 }, change: { mountsSockets: true, confines: true } },
];

const FIRST: Traits = {
  names: "positional",
  hostLoopback: "same",
  mountsSockets: false,
  confines: false,
  correctable: true,
};

export function traitsOf(version: SmolvmVersion): Traits {
  const changes = SINCE.filter((step) => !isBefore(version, step.version)).map(({ change }) => change);
  return Object.assign({}, FIRST, ...changes) as Traits;
}

/** `smolvm 1.9.3`, as `smolvm --version` prints it. */
export function parseVersion(text: string): SmolvmVersion | undefined {
  const [, major, minor, patch] = /^smolvm v?(\d{1,5})\.(\d{1,5})\.(\d{1,5})\b/.exec(text) ?? [];
  if (major === undefined || minor === undefined || patch === undefined) return undefined;
  return { major: Number(major), minor: Number(minor), patch: Number(patch) };
}

export function isBefore(a: SmolvmVersion, b: SmolvmVersion): boolean {
  if (a.major !== b.major) return a.major < b.major;
  return a.minor !== b.minor ? a.minor < b.minor : a.patch < b.patch;
}

export function versionText({ major, minor, patch }: SmolvmVersion): string {
  return `${major}.${minor}.${patch}`;
}
