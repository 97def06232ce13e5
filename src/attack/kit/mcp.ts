/** What an agent asks supervise. */
import { readFileSync } from "node:fs";
import { type Answered, ask } from "./http.ts";
import { env } from "./verdict.ts";

/** A call of the bottle's MCP server. */
export function mcp(
  tool: string,
  args: object,
  headers: Readonly<Record<string, string | undefined>> = {},
  path?: string,
): Promise<Answered> {
  return request("tools/call", { name: tool, arguments: args }, headers, path);
}

/** Names of the tools that it shows. */
export async function mcpTools(): Promise<readonly string[]> {
  const { text } = await request("tools/list", {});
  return [...text.matchAll(/"name": *"([^"]*)"/g)].map(([, name = ""]) => name);
}

function request(
  method: string,
  params: object,
  headers: Readonly<Record<string, string | undefined>> = {},
  path?: string,
): Promise<Answered> {
  const { url, headers: own } = (
    JSON.parse(readFileSync(env["BOTTLE_MCP_CONFIG"] ?? "", "utf8")) as {
      mcpServers: { bottle: { url: string; headers?: Record<string, string> } };
    }
  ).mcpServers.bottle;
  const merged: Record<string, string | undefined> = {
    ...own,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": "2025-06-18",
    ...headers,
  };
  const given = Object.entries(merged).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return ask(
    path === undefined ? url : new URL(path, url),
    { method: "POST", headers: Object.fromEntries(given) },
    JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  );
}
