/**
 * Claude Code. It runs with every permission and without a credential: in the guest both variables it
 * reads hold a placeholder, and egress puts the operator's API key or subscription token in its place,
 * on one host. docs/providers.md has what was found out about the product and how.
 */
import { join } from "node:path";
import { INSPECTED_MODEL } from "../contract/policy.ts";
import type { Provider, ProviderCredential, ProviderRequest } from "../contract/provider.ts";
import { UserError } from "../lib/errors.ts";
import { CLAUDE_VERSION, claudePackage, hostPlatform } from "./claude-release.ts";
import { CLAUDE_ENV, claudeFiles } from "./claude-settings.ts";
import { installPackage } from "./npm-package.ts";
import { PLACEHOLDER } from "./placeholder.ts";
import { PROMPT_PATH, promptFiles, taskArgument } from "./prompt-file.ts";

const MOUNTED_AT = "/opt/bottle/agents/claude";
const BINARY = `${MOUNTED_AT}/claude`;
const API_HOST = "api.anthropic.com";

/** The subscription token first: unlike an API key, nobody has it around for another program. */
const CREDENTIALS: readonly ProviderCredential[] = [
  {
    tokenRef: "CLAUDE_CODE_OAUTH_TOKEN",
    header: "authorization",
    format: "Bearer {}",
    placeholder: { CLAUDE_CODE_OAUTH_TOKEN: PLACEHOLDER },
    howToGet:
      "with a Claude subscription: run `claude setup-token`, then export CLAUDE_CODE_OAUTH_TOKEN=<the token it prints>",
  },
  {
    tokenRef: "ANTHROPIC_API_KEY",
    header: "x-api-key",
    format: "{}",
    placeholder: { ANTHROPIC_API_KEY: PLACEHOLDER },
    howToGet:
      "billed by use: create a key at https://platform.claude.com/settings/keys, then export ANTHROPIC_API_KEY=<the key>",
  },
];

function argvFor(request: ProviderRequest, session: "new" | "latest"): readonly [string, ...string[]] {
  return [
    BINARY,
    "--dangerously-skip-permissions",
    ...(promptFiles(request.prompt).length > 0 ? ["--append-system-prompt-file", PROMPT_PATH] : []),
    ...(request.mcpConfig === undefined ? [] : ["--mcp-config", request.mcpConfig]),
    ...(session === "latest" ? ["--continue"] : []),
    // After `--` a task may begin with a dash.
    ...(request.task === undefined ? [] : ["--print", "--", taskArgument(request.task)]),
  ];
}

export const claude: Provider = {
  name: "claude",
  // Only what a session asks for. The rest of this host would do more with the operator's credential than
  // talk to a model: keep files, run batches, or mint an API key that the guest could then read.
  routes: [
    {
      host: API_HOST,
      matches: [
        {
          methods: ["POST"],
          paths: [
            { type: "exact", value: "/v1/messages" },
            { type: "exact", value: "/v1/messages/count_tokens" },
          ],
        },
        {
          methods: ["GET"],
          // What the operator's organisation decided for its members. Both may be missing.
          paths: [
            { type: "exact", value: "/api/claude_code/settings" },
            { type: "exact", value: "/api/claude_code/policy_limits" },
          ],
        },
      ],
      credentialHeaders: CREDENTIALS.map((credential) => credential.header),
      tls: "terminate",
      allowAddresses: [],
      inspection: INSPECTED_MODEL,
    },
  ],
  credentials: CREDENTIALS,
  credentialHosts: [API_HOST],
  setup(request) {
    if (request.command !== undefined) {
      throw new UserError("agent_provider.command does not go with template: claude", {
        hint: "remove it, or write template: command",
      });
    }
    return {
      argv: argvFor(request, "new"),
      resumeArgv: argvFor(request, "latest"),
      env: CLAUDE_ENV,
      files: [...claudeFiles(PLACEHOLDER, request.settings), ...promptFiles(request.prompt)],
    };
  },
  async userConfig(wish, userHome) {
    // With the detectors of secrets, which take long to load.
    const { claudeUserConfig } = await import("./claude-user-config.ts");
    return claudeUserConfig(wish, userHome);
  },
  async install(cacheDir, progress, signal) {
    const host = hostPlatform();
    const dir = join(cacheDir, "providers", "claude", `${CLAUDE_VERSION}-linux-${host.arch}`);
    await installPackage(claudePackage(host), dir, { progress, ...(signal && { signal }) });
    return [{ from: dir, to: MOUNTED_AT }];
  },
};
