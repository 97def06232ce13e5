/**
 * A guest's link as sockets that listen inside a network namespace and are held outside of it. There is no
 * route, no relay and no address: a guest whose sidecar died is refused at once (I1, I7).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import type { Server } from "node:net";
import type { InheritedListeners, Link, ListenerRole, ServiceName } from "../contract/backend.ts";
import { LISTENER_ROLES, SERVICE_PORTS } from "../contract/backend.ts";
import { packagePath } from "../lib/package-root.ts";
import type { Scope } from "../lib/scope.ts";

/** It listens and leaves within some 60 ms. */
const LISTEN_TIMEOUT_MS = 15_000;

export interface InsidePlace {
  /**
   * A process in it that cannot have ended yet: its namespaces are opened here and now, so that a pid used again
   * later can never be entered.
   */
  readonly pid: number;
  /** The network belongs to a user namespace of its own. */
  readonly ownUser: boolean;
  /** Where the guest finds what listens on 127.0.0.1 there. Default: at that address. */
  readonly address?: string;
}

interface Opened {
  readonly kind: "user" | "net";
  readonly fd: number;
}

/** Opens the listeners of a network namespace. */
export function openLink(
  { pid, ownUser, address = "127.0.0.1" }: InsidePlace,
  services: readonly ServiceName[],
  scope: Scope,
): Link {
  const kinds = ownUser ? (["user", "net"] as const) : (["net"] as const);
  const namespaces = kinds.map((kind) => ({ kind, fd: openSync(`/proc/${pid}/ns/${kind}`, "r") }));
  let closed = false;
  scope.defer("namespace handles", () => {
    closed = true;
    for (const { fd } of namespaces) closeSync(fd);
  });

  // One process hands over every service's first listeners; later ones are for a sidecar started again.
  const first = listenInside(namespaces, services.flatMap(portsOf));
  first.catch(() => {});
  const handedOut = new Set<ServiceName>();
  scope.defer("unclaimed listeners", async () => {
    const servers = await first.catch(() => new Map<number, Server>());
    for (const name of services) {
      if (!handedOut.has(name)) for (const port of portsOf(name)) servers.get(port)?.close();
    }
  });
  const open = async (name: ServiceName): Promise<InheritedListeners> => {
    // Their numbers may be somebody else's by now.
    if (closed) throw new Error(`the guest is gone, and with it the listeners for ${name}`);
    const servers = handedOut.has(name) ? await listenInside(namespaces, portsOf(name)) : await first;
    handedOut.add(name);
    return new Map(
      rolesOf(name).map((role) => {
        const server = servers.get(SERVICE_PORTS[name][role] ?? -1);
        if (server === undefined) throw new Error(`no listener for ${name}`);
        return [role, server];
      }),
    );
  };
  return {
    endpoints: Object.fromEntries(
      services.map((name) => [
        name,
        {
          listen: { kind: "inherited" as const, roles: rolesOf(name), open: () => open(name) },
          guestUrl: `http://${address}:${SERVICE_PORTS[name].main}`,
        },
      ]),
    ),
    needsBearer: false,
  };
}

function rolesOf(name: ServiceName): readonly ListenerRole[] {
  return LISTENER_ROLES.filter((role) => SERVICE_PORTS[name][role] !== undefined);
}

function portsOf(name: ServiceName): readonly number[] {
  return rolesOf(name).flatMap((role) => SERVICE_PORTS[name][role] ?? []);
}

/** What the program inherits besides its streams and Node's own channel. */
const FIRST_FD = 4;

async function listenInside(
  namespaces: readonly Opened[],
  ports: readonly number[],
): Promise<Map<number, Server>> {
  const child = spawn(
    "nsenter",
    [
      ...namespaces.map(({ kind }, i) => `--${kind}=/proc/self/fd/${FIRST_FD + i}`),
      ...["--preserve-credentials", "--"],
      // I9: it would wait for ever for a keeper that was killed before it took a handle.
      ...["setpriv", "--pdeathsig", "KILL", "--"],
      ...[process.execPath, packagePath("dist/programs/netns-listen.mjs"), ...ports.map(String)],
    ],
    {
      env: {},
      stdio: ["ignore", "ignore", "pipe", "ipc", ...namespaces.map(({ fd }) => fd)],
      timeout: LISTEN_TIMEOUT_MS,
      killSignal: "SIGKILL",
    },
  );
  const servers = new Map<number, Server>();
  child.on("message", (message, handle) => {
    const server = handle as Server;
    server.on("error", () => {});
    // Until its sidecar has the handle, nobody is there to serve: better refused than left waiting.
    server.on("connection", (socket) => socket.destroy());
    servers.set((message as { port: number }).port, server);
  });
  const stderr = collect(child);
  // What it sent last may be read only after it has been buried.
  const disconnected = once(child, "disconnect");
  disconnected.catch(() => {});
  await once(child, "close");
  await disconnected;
  if (child.exitCode !== 0 || servers.size !== ports.length) {
    for (const server of servers.values()) server.close();
    throw new Error(
      `cannot listen inside the guest's network: ${stderr() || `exit ${child.exitCode ?? child.signalCode}`}`,
    );
  }
  return servers;
}

const STDERR_TAIL_CHARACTERS = 1_000;

function collect(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    text = (text + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARACTERS);
  });
  return () => text.trim();
}
