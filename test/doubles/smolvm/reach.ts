/** What a machine's network reaches, by release and record: the part of smolvm that its releases disagree about. */
import { BlockList } from "node:net";
import type { MachineRecord } from "./records.ts";
import type { Release } from "./release.ts";

export const GATEWAY = "100.96.0.1";
export const GUEST_ADDRESS = "100.96.0.2";
const METADATA = "169.254.169.254";
/** What 0.8.0 opens besides any range that is not loopback. */
const RESOLVER = "1.1.1.1";

export type Reach =
  | { readonly kind: "none" }
  /** TSI without an enforced policy: the guest's connections are the VMM's own, loopback and all. */
  | { readonly kind: "shared" }
  /** What listens at an allowed address of the VMM's network answers at the same address in the guest. */
  | { readonly kind: "mirrored"; readonly mirrors: Mirror; readonly answersDns: boolean };

/** Where in the guest an address of the VMM's network is found; undefined: nowhere. */
export type Mirror = (address: string) => string | undefined;

export function reachOf(release: Release, record: MachineRecord, floor: string | undefined): Reach {
  if (!record.network) return { kind: "none" };
  const reach = allowedBy(release, record, floor);
  if (reach.kind !== "mirrored") return reach;
  const worst = [
    ...(release.opens("A.7.5") ? [RESOLVER] : []),
    ...(release.opens("A.7.8") ? [METADATA] : []),
  ];
  return {
    ...reach,
    mirrors: (address) => (worst.includes(address) ? address : reach.mirrors(address)),
    answersDns: reach.answersDns || release.opens("A.7.6"),
  };
}

function allowedBy(
  release: Release,
  record: MachineRecord,
  floor: string | undefined,
): Exclude<Reach, { kind: "none" }> {
  const policy = record.allowed_cidrs;
  const hosts = record.dns_filter_hosts;
  const hasPolicy = policy !== null || hosts !== null;
  const virtio = hasPolicy ? !release.before(1, 1, 3) : record.network_backend === "virtio-net";
  if (!virtio) {
    if (!hasPolicy || release.has("A.7.3")) return { kind: "shared" };
    const ranges = [...(policy ?? [])];
    const opened = release.has("A.7.5") && ranges.some((range) => !isLoopback(range)) ? [RESOLVER] : [];
    const allowed = matcher([...ranges, ...opened]);
    return {
      kind: "mirrored",
      mirrors: (address) => (allowed(address) ? address : undefined),
      answersDns: false,
    };
  }
  const allowed = hasPolicy ? matcher(policy ?? []) : () => true;
  const loopback = !release.before(1, 7, 2) && floor !== "strict" && allowed(GATEWAY);
  const isFloored = (address: string): boolean =>
    !release.has("A.7.8") &&
    floor !== "off" &&
    (address === METADATA || (floor === "strict" && isPrivate(address)));
  return {
    kind: "mirrored",
    answersDns: hasPolicy ? release.has("A.7.6") && hosts === null : true,
    mirrors(address) {
      if (isLoopback(address)) return loopback && address === "127.0.0.1" ? GATEWAY : undefined;
      return allowed(address) && !isFloored(address) ? address : undefined;
    },
  };
}

function isLoopback(range: string): boolean {
  return range.startsWith("127.") || range.startsWith("::1");
}

const isPrivate = matcher(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]);

function matcher(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", bits] = range.split("/");
    const family = address.includes(":") ? "ipv6" : "ipv4";
    list.addSubnet(address, Number(bits ?? (family === "ipv6" ? 128 : 32)), family);
  }
  return (address) => list.check(address, address.includes(":") ? "ipv6" : "ipv4");
}
