/** An agent's calls of the bottle's own MCP server, made from inside the bottle as any client makes them. */
import type { RealBottle } from "./real-bottle.ts";

export interface Called {
  readonly isError: boolean;
  /** What the tool told, as data. */
  readonly told: Readonly<Record<string, unknown>>;
}

/** Reads where the server is from the file that agents are given. */
const CLIENT = `
const [tool, args, overrides] = process.argv.slice(1).map((text) => JSON.parse(text));
const { url, headers } = JSON.parse(require("fs").readFileSync(process.env.BOTTLE_MCP_CONFIG, "utf8")).mcpServers.bottle;
const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: tool, arguments: args } });
const request = require("http").request(url, {
  method: "POST",
  headers: { ...headers, "content-type": "application/json", accept: "application/json, text/event-stream",
    "mcp-protocol-version": "2025-06-18", ...overrides },
}, (response) => {
  let text = "";
  response.on("data", (chunk) => { text += chunk; });
  response.on("end", () => {
    const data = /^data: (.*)$/m.exec(text)?.[1] ?? text;
    console.log(JSON.stringify({ status: response.statusCode, data }));
  });
});
request.on("error", (error) => console.log(JSON.stringify({ status: 0, data: String(error) })));
request.end(body);
`;

/** @param headers in place of those that the client would send. */
export async function rawCall(
  bottle: RealBottle,
  tool: string,
  args: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly data: string }> {
  const { stdout, stderr } = await bottle.exec(
    ...["node", "-e", CLIENT, JSON.stringify(tool), JSON.stringify(args), JSON.stringify(headers)],
  );
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as { status: number; data: string };
}

/** @throws Error when the server does not answer as one. */
export async function call(bottle: RealBottle, tool: string, args: object): Promise<Called> {
  const { status, data } = await rawCall(bottle, tool, args);
  if (status !== 200) throw new Error(`${status}: ${data}`);
  const { result, error } = JSON.parse(data) as {
    result?: { isError?: boolean; structuredContent?: Record<string, unknown> };
    error?: { message: string };
  };
  if (result === undefined) return { isError: true, told: { error: error?.message } };
  return { isError: result.isError === true, told: result.structuredContent ?? {} };
}
