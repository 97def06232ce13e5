/**
 * What every backend promises, and nothing of how. The keeper drives a backend through these shapes
 * alone; the behaviour suite in test/integration/backends holds each backend to them.
 */
import type { Duplex, Readable, Writable } from "node:stream";
import type { Scope } from "../lib/scope.ts";
import type { BackendName, BundlePlacement, IsolationLevel } from "./isolation.ts";
import type { BottlePlan, PlannedMount } from "./plan.ts";

/** A sidecar's name, and with it the service a guest dials. */
export const SERVICE_NAMES = ["egress", "git-gate", "supervise"] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** Every sidecar there is: those that serve the guest, and one that only egress dials. */
export const SIDECAR_NAMES = [...SERVICE_NAMES, "pipelock"] as const;
export type SidecarName = (typeof SIDECAR_NAMES)[number];

/**
 * What comes in at one of a service's listeners. `main`: what the service is for. `tls` and `http`: programs that
 * know no proxy and were led to the guest's own loopback by its hosts file.
 */
export const LISTENER_ROLES = ["main", "tls", "http"] as const;
export type ListenerRole = (typeof LISTENER_ROLES)[number];

/** Guest-side ports, on 127.0.0.1 where the link allows. Roles besides `main` are for inherited listeners alone. */
export const SERVICE_PORTS: Readonly<
  Record<ServiceName, Readonly<Partial<Record<ListenerRole, number>> & { main: number }>>
> = {
  egress: { main: 9099, tls: 443, http: 80 },
  "git-gate": { main: 9420 },
  supervise: { main: 9100 },
};

/** A thing that is missing, and the exact command or step that adds it. */
export interface Lack {
  readonly what: string;
  readonly remedy: string;
}

export type Availability =
  | {
      readonly usable: true;
      readonly isolation: IsolationLevel;
      /** One line for the preflight: "Linux namespaces, shared kernel, seccomp by bubblewrap 0.8". */
      readonly strength: string;
      /** What weakens it here without making it unusable. */
      readonly lacks: readonly Lack[];
      /** Isolates as it says, and is slower by a factor than everything else: taken when asked for, or nothing else will do. */
      readonly emulated?: true;
    }
  | { readonly usable: false; readonly lacks: readonly Lack[] };

/** Steps over a second are told; `text` is one line. */
export type Progress = (text: string) => void;

/** What `prepare` left in caches; opaque to everybody but its backend. */
export interface Prepared {
  readonly backend: BackendName;
}

/** Where a sidecar listens, and the URL the guest dials for it. */
export interface Endpoint {
  readonly listen: /** Each call hands over fresh handles: a sidecar that is started again gets its own. */
    | {
        readonly kind: "inherited";
        readonly roles: readonly ListenerRole[];
        open(): Promise<InheritedListeners>;
      }
    | { readonly kind: "unix"; readonly path: string }
    | { readonly kind: "tcp"; readonly host: string; readonly port: number }
    /** In the bundle's container, which is up: by role, where in there. Each call starts the sidecar anew. */
    | {
        readonly kind: "contained";
        readonly places: Readonly<Partial<Record<ListenerRole, ContainedPlace>>>;
        start(): Promise<SidecarStreams>;
      };
  readonly guestUrl: string;
}

export type ContainedPlace =
  | { readonly kind: "unix"; readonly path: string; readonly mode: number }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** A sidecar's process as whoever talks to it sees it. */
export interface SidecarStreams {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** As it is numbered where it runs. */
  readonly pid: number;
  /** Resolves with a short reason once it is gone. */
  readonly ended: Promise<string>;
  /** Ends it now, and waits until it is gone. */
  kill(): Promise<void>;
}

/**
 * A listening socket made inside the guest's network and owned by whoever holds it: when the last holder
 * dies, the guest's connect is refused at once.
 */
export type InheritedListener = import("node:net").Server;

/** One for each of a service's roles. */
export type InheritedListeners = ReadonlyMap<ListenerRole, InheritedListener>;

/** The only channel between guest and bundle. */
export interface Link {
  readonly endpoints: Readonly<Partial<Record<ServiceName, Endpoint>>>;
  /** True when anybody on the host's network could dial the endpoints: every request then needs the bearer. */
  readonly needsBearer: boolean;
  /**
   * The guest has a network, in which something says no for it: whoever refuses there, or is silent, is nobody's
   * kernel, and only an answer tells that something can be reached. What there is to reach is then the backend's to
   * know as well.
   */
  readonly behindFilter?: true;
  /** Where sidecars are contained: starts one that no guest dials, in the container that the others are in. */
  readonly startContained?: (name: SidecarName) => Promise<SidecarStreams>;
}

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

export interface ExecOptions {
  /** Guest path. Default the agent's home. */
  readonly cwd?: string;
  /** Added to the bottle's environment, which every exec gets. */
  readonly env?: Readonly<Record<string, string>>;
  /** A terminal of this size; stdout and stderr are then one stream. */
  readonly tty?: TerminalSize;
  /** `agent` (uid 1000) unless told otherwise; a backend without a guest root refuses `root`. */
  readonly user?: "agent" | "root";
  /** Ends the process (TERM, then KILL) when aborted. */
  readonly signal?: AbortSignal;
}

/** How a process in the guest ended. `lost` means that the guest or its link went away first. */
export type ExitStatus =
  | { readonly kind: "exited"; readonly code: number }
  | { readonly kind: "signalled"; readonly signal: NodeJS.Signals }
  | { readonly kind: "lost"; readonly reason: string };

export interface Execution {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Never yields with a terminal. */
  readonly stderr: Readable;
  readonly exit: Promise<ExitStatus>;
  kill(signal: NodeJS.Signals): void;
  resize(size: TerminalSize): void;
}

export interface Owner {
  readonly user: "agent" | "root";
  /** Mode of files, when not kept from the source. Directories get the matching x bits. */
  readonly mode?: number;
}

export interface Guest {
  /**
   * Starts `argv` exactly as given, with the bottle's environment.
   * @throws UserError when the program cannot be started (named), or the guest is gone.
   */
  exec(argv: readonly [string, ...string[]], options?: ExecOptions): Promise<Execution>;
  /** Copies a host file or folder to the guest path `to` (which it becomes). */
  copyIn(from: string, to: string, owner: Owner): Promise<void>;
  /**
   * Copies a guest file or folder to the host path `to`, which must not exist. Never follows or makes a
   * link that leaves `to`, never writes `.git/config` or hooks, strips setuid, refuses devices; each thing
   * that does not come along for that is told to `leftOut`.
   */
  copyOut(from: string, to: string, leftOut?: (path: string, reason: string) => void): Promise<void>;
  /** Connects to a server that the agent started on the guest's loopback. */
  dial(port: number): Promise<Duplex>;
  /** Whether `destinations` can be reached from inside; the launch's verification. */
  probe(destinations: readonly ProbeTarget[]): Promise<readonly ProbeResult[]>;
  /** Stops whatever the agent runs, and lets it go on; where the backend can. */
  readonly freezer?: { freeze(): Promise<void>; thaw(): Promise<void> };
  /**
   * Copies its disk, as it is at one moment, to the state directories of other bottles, which have none. It stands still
   * while the first is made.
   */
  copyDisk?(stateDirs: readonly string[]): Promise<void>;
  /** Has what is still in the guest's memory on its disk, as far as a guest can be made to; absent where the disk is the host's. */
  flush?(): Promise<void>;
  /** Resolves when the guest has ended, however. */
  readonly ended: Promise<string>;
}

export interface ProbeTarget {
  readonly host: string;
  readonly port: number;
  readonly transport: "tcp" | "udp";
}

export interface ProbeResult extends ProbeTarget {
  /** `answered` for a connection or a datagram back; otherwise the error's code or `timeout`. */
  readonly outcome: "answered" | string;
  readonly milliseconds: number;
}

/** Something on the host that belongs to a bottle, found by name or label and not by memory. */
export interface OwnedResource {
  readonly backend: BackendName;
  readonly bottle: string;
  /** `disk`: holds what the guest wrote, and is a kept bottle's for as long as that is kept. */
  readonly kind: "disk" | string;
  readonly name: string;
  /** It says itself that it was made from this very home: found without a state directory too, it is nobody else's. */
  readonly ours?: true;
}

export interface Looking {
  /** Bottles that nothing has to be told of: where each is asked about by itself, these are not. */
  readonly without?: readonly string[];
  /** For whoever does not wait for an engine that does not answer. */
  readonly signal?: AbortSignal;
}

/** What only this host's root can do, once for all bottles until its next boot. */
export interface HostStep {
  readonly why: string;
  /** Asks for what it needs on the operator's terminal. */
  readonly argv: readonly [string, ...string[]];
}

export interface Backend {
  readonly name: BackendName;
  /** Its guests are made of the image that a plan names. */
  readonly takesImages?: true;
  /** They have a disk of their own, as large as a plan says. */
  readonly sizesDisks?: true;
  /** Where the bundle can be, first where it is when nobody says; as processes of the host when absent. */
  readonly sidecarsIn?: readonly [BundlePlacement, ...BundlePlacement[]];
  /** By trying, not assuming. Cheap enough for every start. */
  probe(): Promise<Availability>;
  /** What is missing before a bottle can start, where its root can be asked for it; whoever launches it says so otherwise. */
  hostStep?(plan: BottlePlan): Promise<HostStep | undefined>;
  /** Images, disks: cached; nothing is running afterwards. @param signal nobody waits any more: it throws its reason. */
  prepare(request: PrepareRequest, progress: Progress, signal?: AbortSignal): Promise<Prepared>;
  reserve(prepared: Prepared, request: ReserveRequest, scope: Scope): Promise<Link>;
  boot(prepared: Prepared, link: Link, options: BootOptions, scope: Scope): Promise<Guest>;
  enumerate(looking?: Looking): Promise<readonly OwnedResource[]>;
  remove(resource: OwnedResource): Promise<void>;
  /** Removes what killed processes left that is no bottle's. */
  sweep?(): Promise<void>;
  /** Where a guest's disk outlives it. */
  readonly disks?: BottleDisks;
  /**
   * What it keeps in the cache, besides images, so that guests start sooner.
   * @param wanted operators' words for images that somebody wants; undefined where that is not known.
   */
  cachedParts?(wanted?: ReadonlySet<string>): Promise<readonly CachedPart[]>;
}

/** A file or folder that can be made again at any time. */
export interface CachedPart {
  /** In an operator's words. */
  readonly what: string;
  readonly path: string;
  readonly bytes: number;
  /** No guest of this host's, as it is now, would start from it. */
  readonly isOld: boolean;
}

/** What can be done with the disk of a bottle that does not run. */
export interface BottleDisks {
  /** Copies it from one bottle's state directory to another's, which has none. */
  fork(fromStateDir: string, toStateDir: string): Promise<void>;
  /** Freezes it as the image `name`, without what was provisioned. The bottle keeps its own. */
  commit(request: CommitRequest, progress: Progress): Promise<void>;
}

export interface CommitRequest {
  readonly id: string;
  readonly plan: BottlePlan;
  /** What was provisioned: paths in the guest. */
  readonly provisioned: readonly string[];
  readonly stateDir: string;
  /** For sockets: 0700, short, and there. */
  readonly runtimeDir: string;
  readonly name: string;
}

export interface PrepareRequest {
  readonly plan: BottlePlan;
  /** What the provider installed in the cache, to appear in the guest read-only. */
  readonly tools: readonly PlannedMount[];
}

export interface ReserveRequest {
  readonly id: string;
  readonly plan: BottlePlan;
  /** The bottle's directory under `state/`; the backend keeps the guest's disk below it. */
  readonly stateDir: string;
  /** For sockets: 0700, and short. */
  readonly runtimeDir: string;
  readonly services: readonly ServiceName[];
  /** Asked at teardown: whether what the guest wrote to its disk stays, for a later life of the bottle. No when absent. */
  readonly keepsDisk?: () => boolean;
  /** For a backend whose sidecars are contained, once it is known. */
  readonly sidecarHome?: Promise<SidecarHome>;
}

/** Of contained sidecars: who git-gate is, and which of the host's folders and files they see. */
export interface SidecarHome {
  /** Never root's. */
  readonly uid: number;
  readonly mounts: readonly { readonly from: string; readonly to: string; readonly writable?: boolean }[];
}

export interface BootOptions {
  readonly plan: BottlePlan;
  /** Re-sent on every exec. */
  readonly env: Readonly<Record<string, string>>;
  /** Hears of what is done otherwise than prepared. */
  readonly progress?: Progress;
}

/** Inside every guest. */
export const GUEST = {
  user: "node",
  uid: 1000,
  gid: 1000,
  home: "/home/node",
  workspace: "/home/node/workspace",
  /** MCP servers, in the form that `claude --mcp-config` reads; there when the agent may ask for more. */
  mcpConfig: "/home/node/.bottle/mcp.json",
} as const;
