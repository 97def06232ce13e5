/** One agent product: installed how, started how, authenticated how, which routes it needs. */
import type { Progress } from "./backend.ts";
import type { PlannedFile, PlannedMount, PlannedUserConfig } from "./plan.ts";
import type { AuthScheme, Route } from "./policy.ts";

/** What agents see before the names of the bottle's own tools: `mcp__bottle__request_access`. */
export const BOTTLE_MCP_SERVER = "bottle";

/** One way to authenticate; the first whose variable the operator has is taken. */
export interface ProviderCredential extends AuthScheme {
  /** Name in the operator's environment. */
  readonly tokenRef: string;
  /** Of the provider's `credentialHosts`, those that this one is for: the others' routes are then not opened. Absent: all. */
  readonly hosts?: readonly string[];
  /** What the guest gets in its place: a variable and a value that no upstream accepts. */
  readonly placeholder: Readonly<Record<string, string>>;
  /** How an operator comes by it, in one line. */
  readonly howToGet: string;
}

export interface ProviderRequest {
  /** Standing instructions; may be empty. */
  readonly prompt: string;
  /** One headless task, when the operator gave one. */
  readonly task: string | undefined;
  /** `args` and `command` of the manifest's `agent_provider`, as far as this provider takes them. */
  readonly command: readonly string[] | undefined;
  /** The `tokenRef` of the credential that was chosen; the first one's when absent. */
  readonly credential?: string | undefined;
  /** Guest path of a file that names MCP servers, in the form that `claude --mcp-config` reads. */
  readonly mcpConfig?: string | undefined;
  /** Of the operator's own; what this provider sets itself counts more. */
  readonly settings?: PlannedUserConfig["settings"] | undefined;
}

/** What an agent's file names of the operator's own configuration; everything else stays where it is. */
export interface UserConfigWish {
  readonly memory: boolean;
  readonly settings: readonly string[];
  readonly commands: readonly string[];
  readonly mcpServers: readonly string[];
}

/** What to put into the guest and what to run there. Pure: computed from the request alone. */
export interface ProviderSetup {
  readonly argv: readonly [string, ...string[]];
  readonly resumeArgv?: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly files: readonly PlannedFile[];
}

export interface Provider {
  readonly name: string;
  /** Routes it cannot work without; they win over a manifest's route for the same host. */
  readonly routes: readonly Route[];
  /** Alternatives. Empty: this provider needs no credential. */
  readonly credentials: readonly ProviderCredential[];
  /** Hosts (of `routes`) to which the chosen credential is presented. */
  readonly credentialHosts: readonly string[];
  /** Where in the guest the product looks for skills; `~/.claude/skills` when absent. */
  readonly skillsFolder?: string;
  /** How the product is told of the bottle's own MCP server, where it does not read `GUEST.mcpConfig`. */
  readonly mcpFile?: {
    /** In the guest. */
    readonly path: string;
    text(url: string, headers: Readonly<Record<string, string>>): string;
  };
  /** @throws UserError when the request lacks what this provider needs. */
  setup(request: ProviderRequest): ProviderSetup;
  /**
   * Finds what is wished for below `userHome`, the operator's home on the host, and refuses what holds a secret or
   * means nothing in a guest. Absent: there is nothing of the kind.
   * @throws UserError (rejects) with everything that is missing or refused, by file and key.
   */
  readonly userConfig?: (wish: UserConfigWish, userHome: string) => Promise<PlannedUserConfig>;
  /**
   * Makes the product available below `cacheDir`, once, verified against its pinned integrity, and
   * returns what to mount read-only. Two at once install once. Needs no install script.
   * @throws UserError naming the step that failed and what to run.
   */
  install(
    cacheDir: string,
    progress: Progress,
    /** Breaks it off; what it was doing is undone before it rejects. */
    signal?: AbortSignal,
  ): Promise<readonly PlannedMount[]>;
}
