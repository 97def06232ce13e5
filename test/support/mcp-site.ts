/** An MCP server of somebody else's, over TLS and with a bearer, by the protocol's own implementation. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";
import type { ServerIdentity } from "../../demo/upstreams/certificate-authority.ts";

export interface McpSite {
  readonly port: number;
  /** Status of each answer. */
  readonly answers: readonly number[];
  close(): Promise<void>;
}

/** With one tool, `lookup`, that answers `prefix` and what it was asked. */
export async function startMcpSite(options: {
  readonly tls: ServerIdentity;
  readonly bearer: string;
  readonly prefix: string;
}): Promise<McpSite> {
  const answers: number[] = [];
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: "docs", version: "1.0.0" });
    server.registerTool(
      "lookup",
      { description: "Looks a word up.", inputSchema: z.object({ word: z.string() }) },
      ({ word }) => ({ content: [{ type: "text", text: `${options.prefix}${word}` }] }),
    );
    return server;
  });
  const serve = toNodeHandler(handler);
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    response.once("finish", () => void answers.push(response.statusCode));
    if (request.headers.authorization !== `Bearer ${options.bearer}`) {
      response.writeHead(401).end();
      return;
    }
    void serve(request as IncomingMessage & { method: string; url: string }, response);
  };
  const { key, certificate } = options.tls;
  const server = createServer({ key, cert: certificate }, answer);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    answers,
    async close() {
      await handler.close();
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}
