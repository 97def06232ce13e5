/**
 * Whoever of this host's listens where a bottle's address leads: on that very address, or on all. A filter that knows no
 * ports lets the guest reach them.
 */
import { existsSync, readFileSync } from "node:fs";
import { run } from "../../lib/processes.ts";

const COMMAND_TIMEOUT_MS = 10_000;

export interface HostService {
  readonly transport: "tcp" | "udp";
  readonly port: number;
  /** On every address of this host's, and so on this one. */
  readonly everywhere: boolean;
}

/** Each once. @param address IPv4. */
export async function servicesAt(address: string): Promise<readonly HostService[]> {
  const found =
    process.platform === "linux"
      ? (["tcp", "tcp6", "udp", "udp6"] as const).flatMap((name) => fromProc(name, address))
      : (await Promise.all((["tcp", "udp"] as const).map(netstat))).flatMap((text) =>
          servicesFromNetstat(text, address),
        );
  const different = new Map(found.map((each) => [`${each.transport} ${each.port}`, each]));
  return [...different.values()].sort((a, b) => a.port - b.port);
}

function fromProc(name: "tcp" | "tcp6" | "udp" | "udp6", address: string): readonly HostService[] {
  const file = `/proc/net/${name}`;
  // A kernel may have no IPv6.
  return existsSync(file) ? servicesFromProc(name, readFileSync(file, "latin1"), address) : [];
}

/** proc(5): addresses as the processor has them; 0A is listening, 07 a datagram socket that is connected to nobody. */
export function servicesFromProc(
  name: "tcp" | "tcp6" | "udp" | "udp6",
  text: string,
  address: string,
): readonly HostService[] {
  const own = Buffer.from(address.split(".").map(Number).reverse()).toString("hex").toUpperCase();
  const transport = name.startsWith("tcp") ? "tcp" : "udp";
  const waits = transport === "tcp" ? "0A" : "07";
  return text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, local = "", , state] = line.trim().split(/\s+/);
      const [at = "", port = ""] = local.split(":");
      const everywhere = /^0+$/.test(at);
      // An IPv4 address among IPv6's.
      const isHere = at === own || at === `0000000000000000FFFF0000${own}`;
      if (state !== waits || !(everywhere || isHere)) return [];
      return [{ transport, port: Number.parseInt(port, 16), everywhere }];
    });
}

async function netstat(protocol: "tcp" | "udp"): Promise<string> {
  const { stdout } = await run(["netstat", "-an", "-p", protocol], { timeoutMs: COMMAND_TIMEOUT_MS });
  return stdout.toString("latin1");
}

/** macOS: `tcp4  0  0  *.5000  *.*  LISTEN`, `udp4  0  0  *.5353  *.*`. */
export function servicesFromNetstat(text: string, address: string): readonly HostService[] {
  return text.split("\n").flatMap((line) => {
    const [, transport, at, port, state] =
      /^(tcp|udp)\S*\s+\d+\s+\d+\s+(\S+)\.(\d{1,5})\s+\*\.\*\s*(LISTEN)?\s*$/.exec(line) ?? [];
    if ((transport !== "tcp" && transport !== "udp") || (at !== "*" && at !== address)) return [];
    if (transport === "tcp" && state === undefined) return [];
    return [{ transport, port: Number(port), everywhere: at === "*" }];
  });
}
