/** What will be created, before anything is: plain data, no secret in it, printed by the preflight. */
import type { ImageSource } from "./image.ts";
import type { BackendName, BundlePlacement, IsolationLevel } from "./isolation.ts";
import type { EgressLimits, EgressLogLevel, OwnRule, Route, UpstreamProxyPlace } from "./policy.ts";
import type { PlannedRepo } from "./repository.ts";

/** Where an environment value comes from. Values are resolved at launch, and only then. */
export type EnvSource =
  | { readonly kind: "literal"; readonly value: string }
  | { readonly kind: "prompt"; readonly text: string }
  | { readonly kind: "host"; readonly variable: string };

export interface PlannedEnv {
  readonly name: string;
  readonly source: EnvSource;
  /** The only hosts that the value may be sent to. */
  readonly to?: readonly string[];
}

export interface PlannedSkill {
  readonly name: string;
  /** Host directory. */
  readonly path: string;
}

/** A text of the operator's own that comes along: read at launch, and put there as the agent's. */
export interface PlannedText {
  /** As the operator calls it: `CLAUDE.md`, `/review`. */
  readonly name: string;
  /** Host file. */
  readonly from: string;
  readonly to: string;
}

/** An MCP server of the operator's, without any credential. */
export interface PlannedMcpServer {
  readonly name: string;
  readonly place:
    | {
        readonly type: "http" | "sse";
        readonly url: string;
        readonly headers: Readonly<Record<string, string>>;
      }
    /** Started in the guest, by the agent. */
    | {
        readonly type: "stdio";
        readonly command: string;
        readonly args: readonly string[];
        readonly env: Readonly<Record<string, string>>;
      };
}

/** What comes along of the operator's own configuration of the product, because the agent's file names it. */
export interface PlannedUserConfig {
  readonly texts: readonly PlannedText[];
  /** The product's own settings, by key. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly mcpServers: readonly PlannedMcpServer[];
}

/** A credential that a sidecar will hold, or the keeper for itself. The guest never does. */
export interface PlannedCredential {
  /** Name in the operator's environment. */
  readonly tokenRef: string;
  readonly holder: "egress" | "git-gate" | "keeper";
  /** Hosts it may be presented to. */
  readonly hosts: readonly string[];
  /** What to tell an operator who does not have it. */
  readonly howToGet?: string;
}

export interface PlannedMount {
  readonly from: string;
  readonly to: string;
}

/** How the agent may ask for more, and how the operator hears of it. */
export interface PlannedSupervise {
  /** How long a request waits for an answer; then the answer is no. */
  readonly patienceMs: number;
  /** Started on the host for every event, with the event as JSON on its stdin. */
  readonly notify?: readonly [string, ...string[]];
  /** A decoy credential on its way out freezes the bottle. */
  readonly freezeOnCanary: boolean;
}

/** A file that provisioning writes into the guest, owned by the agent. */
export interface PlannedFile {
  readonly path: string;
  readonly content: string;
  readonly mode: number;
}

/** A group of routes that the bottle named, with what it came to for this operator. Its routes are among the plan's. */
export interface PlannedPreset {
  readonly name: string;
  /** Where its hosts were read. */
  readonly from: string;
  readonly hosts: readonly string[];
  /** Given to the agent, so that its programs go to the same place. */
  readonly env: Readonly<Record<string, string>>;
  readonly files: readonly PlannedFile[];
}

/** Where the agent came from decides what it may do (I5). */
export type AgentSource = "home" | "repository" | "built-in";

export interface BottlePlan {
  readonly agent: {
    readonly name: string;
    readonly source: AgentSource;
    /** Absent for a built-in agent. */
    readonly file?: string;
    /** sha256 (hex) of the agent file's bytes; what an approval of a repository's agent is bound to. */
    readonly contentHash?: string;
    /** The agent's standing instructions (the file's body). */
    readonly prompt: string;
  };
  readonly bottle: { readonly name: string; readonly files: readonly string[] };
  readonly label?: string;
  readonly provider: {
    readonly name: string;
    /** Argv in the guest, for a session on a terminal and for one headless task. */
    readonly argv: readonly [string, ...string[]];
    /** Argv that picks up an earlier session of the same bottle, where the provider has one. */
    readonly resumeArgv?: readonly [string, ...string[]];
    readonly env: Readonly<Record<string, string>>;
    readonly files: readonly PlannedFile[];
  };
  /** What the operator asked for now (`--prompt`): headless when present. */
  readonly task?: string;
  readonly env: readonly PlannedEnv[];
  readonly skills: readonly PlannedSkill[];
  /** Absent: nothing of the operator's own. */
  readonly userConfig?: PlannedUserConfig;
  readonly credentials: readonly PlannedCredential[];
  /** What stands for credentials in the guest; not secret. Absent in records of before there were any. */
  readonly placeholders?: readonly string[];
  /** Where they become credentials. Absent likewise. */
  readonly placeholderHosts?: readonly string[];
  readonly routes: readonly Route[];
  /** Absent in records of before there were any. */
  readonly presets?: readonly PlannedPreset[];
  /** What the bottle says of egress's limits, and how much of the traffic is logged. */
  readonly egressLimits?: EgressLimits;
  readonly egressLog?: EgressLogLevel;
  readonly upstreamProxy?: UpstreamProxyPlace;
  /** Everything that egress sends goes through a pipelock. */
  readonly pipelock?: true;
  readonly rules: readonly OwnRule[];
  /** Host paths of PEM files with extra roots that egress trusts. */
  readonly upstreamCa: readonly string[];
  readonly git: { readonly name?: string; readonly email?: string };
  /** Behind git-gate; absent: no gate is started. */
  readonly repos?: readonly PlannedRepo[];
  /** The folder copied in as the workspace; absent without `--cwd`. */
  readonly workspaceFrom?: string;
  /** Absent: the agent cannot ask, and every `ask` is answered with no. */
  readonly supervise?: PlannedSupervise;
  readonly mounts: readonly PlannedMount[];
  readonly resources: {
    readonly cpus?: number;
    readonly memoryBytes?: number;
    /** Of a guest's own disk, where it has one. */
    readonly diskBytes?: number;
    readonly pids: number;
  };
  /** The guest's system, where the bottle or the operator names one. Absent: what the backend has of its own. */
  readonly image?: ImageSource;
  /** The operator's minimum. */
  readonly isolation?: IsolationLevel;
  readonly backend: BackendName;
  /** Where the operator wants the sidecars. Absent: where the backend has them. */
  readonly bundle?: BundlePlacement;
  /** Ports of this host's that listen everywhere, and that the guest may reach although nobody asked for it. */
  readonly hostServices?: readonly number[];
}
