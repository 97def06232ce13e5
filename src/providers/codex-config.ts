/**
 * Codex's own configuration in a guest. The bottle is the sandbox and egress decides on hosts, so inside everything is
 * allowed and nothing is asked; and what it would ask of other hosts is switched off. Found by running the pinned
 * release with each answer left out (docs/providers.md).
 */
import { GUEST } from "../contract/backend.ts";
import type { PlannedFile } from "../contract/plan.ts";
import { BOTTLE_MCP_SERVER } from "../contract/provider.ts";
import { type TomlTable, tomlText } from "./toml-text.ts";

const HOME = `${GUEST.home}/.codex`;
/** Codex reads `<name>.config.toml` on top of its configuration when it is told that name. */
export const MCP_PROFILE = "bottle-mcp";
export const CODEX_MCP_PATH = `${HOME}/${MCP_PROFILE}.config.toml`;
/** Without a network there is nothing to try again for; a model that is overloaded is asked again. */
const RETRIES = 2;

export interface CodexModelPlace {
  readonly baseUrl: string;
  /** The variable with the API key's placeholder; absent where the product knows its login by itself. */
  readonly keyVariable?: string;
}

/** @param prompt the agent's standing instructions; may be empty. */
export function codexConfigFile(place: CodexModelPlace, prompt: string): PlannedFile {
  const { baseUrl, keyVariable } = place;
  const config: TomlTable = {
    approval_policy: "never",
    sandbox_mode: "danger-full-access",
    check_for_update_on_startup: false,
    cli_auth_credentials_store: "file",
    ...(prompt.trim() === "" ? {} : { developer_instructions: prompt }),
    // Its built-in provider speaks over a WebSocket first, whose messages egress could not redact.
    model_provider: "bottle",
    model_providers: {
      bottle: {
        name: "OpenAI",
        base_url: baseUrl,
        wire_api: "responses",
        supports_websockets: false,
        requires_openai_auth: keyVariable === undefined,
        ...(keyVariable === undefined ? {} : { env_key: keyVariable }),
        request_max_retries: RETRIES,
        stream_max_retries: RETRIES,
      },
    },
    analytics: { enabled: false },
    feedback: { enabled: false },
    otel: { exporter: "none", trace_exporter: "none", metrics_exporter: "none" },
    // Each would ask other hosts, start a server that outlives the session, or wait for ever for a network.
    features: {
      apps: false,
      plugins: false,
      remote_plugin: false,
      daemon_auto_start: false,
      unbounded_connection_retries: false,
      api_key_model_discovery: false,
      // Egress could not look into a request that is compressed in a way it does not know.
      enable_request_compression: false,
    },
    projects: {
      [GUEST.home]: { trust_level: "trusted" },
      [GUEST.workspace]: { trust_level: "trusted" },
    },
  };
  return { path: `${HOME}/config.toml`, content: tomlText(config), mode: 0o600 };
}

/** The bottle's own MCP server as Codex reads it. */
export function codexMcpText(url: string, headers: Readonly<Record<string, string>>): string {
  return tomlText({ mcp_servers: { [BOTTLE_MCP_SERVER]: { url, http_headers: headers } } });
}
