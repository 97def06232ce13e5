/** What an agent asks supervise. */
import { env, refused } from "./verdict.ts";

/** A call of the bottle's MCP server. @returns its answer's HTTP text. */
export async function mcp(
  tool: string,
  args: object,
  headers: Readonly<Record<string, string | undefined>> = {},
  path?: string,
): Promise<{ readonly status: number; readonly text: string; readonly ms: number }> {
  const { readFileSync } = await import("node:fs");
  const { request } = await import("node:http");
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
  const body = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: tool, arguments: args },
  });
  const from = performance.now();
  return new Promise((resolve) => {
    const sent = request(
      path === undefined ? url : new URL(path, url),
      { method: "POST", headers: Object.fromEntries(given) },
      (response) => {
        let text = Object.entries(response.headers)
          .map(([name, value]) => `${name}: ${value}`)
          .join("\n");
        text = `HTTP/1.1 ${response.statusCode}\n${text}\n\n`;
        response.on("data", (chunk) => {
          text += String(chunk);
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, text, ms: performance.now() - from }),
        );
      },
    );
    sent.setTimeout(8_000, () => sent.destroy(new Error("silence")));
    sent.on("error", (error: NodeJS.ErrnoException) => refused(error.code ?? error.message));
    sent.end(body);
  });
}
