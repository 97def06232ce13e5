/**
 * The MCP servers of the bottle, in the file that Claude Code and others read with `--mcp-config`: the bottle's own,
 * and those of the operator's that the agent's file names. The bearer is worth nothing outside of this bottle's link;
 * it stands in a file, so that it is in no argument list.
 */
import { GUEST } from "../contract/backend.ts";
import type { PlannedFile, PlannedMcpServer } from "../contract/plan.ts";
import { BOTTLE_MCP_SERVER, type Provider } from "../contract/provider.ts";

export interface SuperviseAccess {
  /** With its path. */
  readonly url: string;
  readonly bearer: string;
}

/** Nothing when there is no server to list. @param own how the product is told of the bottle's, where it reads another file. */
export function mcpConfigFiles(
  supervise: SuperviseAccess | undefined,
  servers: readonly PlannedMcpServer[] = [],
  own?: Provider["mcpFile"],
): readonly PlannedFile[] {
  const listed = [
    ...servers.map(({ name, place }) => [name, place] as const),
    // Last, so that nothing takes its name.
    ...(supervise === undefined ? [] : [[BOTTLE_MCP_SERVER, ownServer(supervise)] as const]),
  ];
  if (listed.length === 0) return [];
  const mcpServers = Object.fromEntries(listed);
  const file: PlannedFile = {
    path: GUEST.mcpConfig,
    content: `${JSON.stringify({ mcpServers }, null, 2)}\n`,
    mode: 0o600,
  };
  if (own === undefined || supervise === undefined) return [file];
  return [file, { path: own.path, content: own.text(supervise.url, headersOf(supervise)), mode: 0o600 }];
}

function ownServer(access: SuperviseAccess): object {
  return { type: "http", url: access.url, headers: headersOf(access) };
}

function headersOf({ bearer }: SuperviseAccess): Readonly<Record<string, string>> {
  return { Authorization: `Bearer ${bearer}` };
}
