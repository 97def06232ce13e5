/**
 * The MCP servers of the bottle, in the file that Claude Code and others read with `--mcp-config`. The bearer is worth
 * nothing outside of this bottle's link; it stands in a file, so that it is in no argument list.
 */
import { GUEST } from "../contract/backend.ts";
import type { PlannedFile } from "../contract/plan.ts";

/** What agents see before the tools' names: `mcp__bottle__request_access`. */
const SERVER_NAME = "bottle";

export interface SuperviseAccess {
  /** With its path. */
  readonly url: string;
  readonly bearer: string;
}

export function mcpConfigFile({ url, bearer }: SuperviseAccess): PlannedFile {
  const server = { type: "http", url, headers: { Authorization: `Bearer ${bearer}` } };
  return {
    path: GUEST.mcpConfig,
    content: `${JSON.stringify({ mcpServers: { [SERVER_NAME]: server } }, null, 2)}\n`,
    mode: 0o600,
  };
}
