/**
 * Codex. It runs with every permission and without a credential: in the guest its variable holds a placeholder, and
 * egress puts the operator's API key or access token in its place, each on its own hosts. docs/providers.md has what was
 * found out about the product and how.
 */
import { join } from "node:path";
import { GUEST } from "../contract/backend.ts";
import { INSPECTED_MODEL, type Route } from "../contract/policy.ts";
import type { Provider, ProviderCredential, ProviderRequest } from "../contract/provider.ts";
import { UserError } from "../lib/errors.ts";
import {
  CODEX_MCP_PATH,
  type CodexModelPlace,
  codexConfigFile,
  codexMcpText,
  MCP_PROFILE,
} from "./codex-config.ts";
import { CODEX_VERSION, codexPackage } from "./codex-release.ts";
import { installPackage } from "./npm-package.ts";
import { PLACEHOLDER } from "./placeholder.ts";
import { promptFiles, taskArgument } from "./prompt-file.ts";

const MOUNTED_AT = "/opt/bottle/agents/codex";
const BINARY = `${MOUNTED_AT}/bin/codex`;
const API_HOST = "api.openai.com";
/** Of a ChatGPT workspace: the model, and who an access token belongs to. */
const CHATGPT_HOST = "chatgpt.com";
const AUTH_HOST = "auth.openai.com";

const API_KEY = "OPENAI_API_KEY";
const ACCESS_TOKEN = "CODEX_ACCESS_TOKEN";

/** The access token first: unlike an API key, nobody has it around for another program. */
const CREDENTIALS: readonly ProviderCredential[] = [
  {
    tokenRef: ACCESS_TOKEN,
    hosts: [CHATGPT_HOST, AUTH_HOST],
    header: "authorization",
    format: "Bearer {}",
    // Its first letters tell Codex what it is.
    placeholder: { [ACCESS_TOKEN]: `at-${PLACEHOLDER}` },
    howToGet:
      "with ChatGPT Business or Enterprise: create one at https://chatgpt.com/admin/access-tokens, then export CODEX_ACCESS_TOKEN=<the token>",
  },
  {
    tokenRef: API_KEY,
    hosts: [API_HOST],
    header: "authorization",
    format: "Bearer {}",
    placeholder: { [API_KEY]: PLACEHOLDER },
    howToGet:
      "billed by use: create a key at https://platform.openai.com/api-keys, then export OPENAI_API_KEY=<the key>",
  },
];

const PLACES: Readonly<Record<string, CodexModelPlace>> = {
  [ACCESS_TOKEN]: { baseUrl: `https://${CHATGPT_HOST}/backend-api/codex` },
  [API_KEY]: { baseUrl: `https://${API_HOST}/v1`, keyVariable: API_KEY },
};

function placeOf(credential: string = ACCESS_TOKEN): CodexModelPlace {
  const place = PLACES[credential];
  if (place === undefined) throw new Error(`codex knows no credential ${credential}`);
  return place;
}

const OPTIONS = ["--dangerously-bypass-approvals-and-sandbox"] as const;

function argvFor(request: ProviderRequest, session: "new" | "latest"): readonly [string, ...string[]] {
  const options = [...OPTIONS, ...(request.mcpConfig === undefined ? [] : ["--profile", MCP_PROFILE])];
  if (request.task === undefined) {
    const latest = session === "latest" ? ["resume", "--last", "--include-non-interactive"] : [];
    return [BINARY, ...options, "--no-daemon", ...latest];
  }
  const latest = session === "latest" ? ["resume", "--last"] : [];
  // After `--` a task may begin with a dash.
  return [BINARY, "exec", ...options, "--skip-git-repo-check", ...latest, "--", taskArgument(request.task)];
}

/** Only what a session asks for: the rest of these hosts would do more with the operator's credential. */
function route(host: string, requests: Readonly<Partial<Record<"GET" | "POST", readonly string[]>>>): Route {
  return {
    host,
    matches: Object.entries(requests).map(([method, paths]) => ({
      methods: [method],
      paths: paths.map((value) => ({ type: "exact", value })),
    })),
    credentialHeaders: ["authorization"],
    tls: "terminate",
    allowAddresses: [],
    inspection: INSPECTED_MODEL,
  };
}

export const codex: Provider = {
  name: "codex",
  routes: [
    // The model, and its summary of a conversation that grew too long.
    route(API_HOST, { POST: ["/v1/responses", "/v1/responses/compact"] }),
    route(CHATGPT_HOST, {
      POST: ["/backend-api/codex/responses", "/backend-api/codex/responses/compact"],
      // Which account it is, and what its organisation decided for its members: without these there is no session. And
      // which models there are.
      GET: [
        "/backend-api/wham/accounts/check",
        "/backend-api/wham/config/bundle",
        "/backend-api/codex/models",
      ],
    }),
    route(AUTH_HOST, { GET: ["/api/accounts/v1/user-auth-credential/whoami"] }),
  ],
  credentials: CREDENTIALS,
  credentialHosts: [API_HOST, CHATGPT_HOST, AUTH_HOST],
  skillsFolder: `${GUEST.home}/.codex/skills`,
  mcpFile: { path: CODEX_MCP_PATH, text: codexMcpText },
  setup(request) {
    if (request.command !== undefined) {
      throw new UserError("agent_provider.command does not go with template: codex", {
        hint: "remove it, or write template: command",
      });
    }
    return {
      argv: argvFor(request, "new"),
      resumeArgv: argvFor(request, "latest"),
      env: {},
      files: [codexConfigFile(placeOf(request.credential), request.prompt), ...promptFiles(request.prompt)],
    };
  },
  async install(cacheDir, progress, signal) {
    const dir = join(cacheDir, "providers", "codex", `${CODEX_VERSION}-linux-${process.arch}`);
    await installPackage(codexPackage(process.arch), dir, { progress, ...(signal && { signal }) });
    return [{ from: dir, to: MOUNTED_AT }];
  },
};
