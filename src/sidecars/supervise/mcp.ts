/**
 * The protocol, by its own implementation: the eras of 2025 and of 2026 at one URL. A server of its own answers each
 * request and keeps nothing; what outlives a call is on the board.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { LIMITS } from "./limits.ts";

export interface Protocol {
  serve(request: IncomingMessage, response: ServerResponse): Promise<void>;
  close(): void;
}

const INSTRUCTIONS = `You are in a bottle: everything that leaves it is inspected, and only what the operator listed is allowed. \
When something is denied, the denial holds a ready-made call: make it with these tools (explain_denial says whether that \
helps), then wait with check_request. The operator decides, outside of the bottle; nobody inside can. Ask narrowly, \
say why, and take a no for an answer.`;

export function createProtocol(options: {
  readonly version: string;
  readonly register: (server: McpServer) => void;
  readonly onError: (error: Error) => void;
}): Protocol {
  const handler = createMcpHandler(
    () => {
      const server = new McpServer(
        { name: "supervise", version: options.version },
        {
          instructions: INSTRUCTIONS,
          // It would check what people answer in the agent's client, which nobody is asked for here.
          jsonSchemaValidator: {
            getValidator: () => {
              throw new Error("elicitation is not used");
            },
          },
        },
      );
      options.register(server);
      return server;
    },
    {
      maxRequestBodySize: LIMITS.bodyBytes,
      maxSubscriptions: LIMITS.subscriptions,
      onerror: options.onError,
    },
  );
  const serve = toNodeHandler(handler, { maxRequestBodySize: LIMITS.bodyBytes, onerror: options.onError });
  return {
    // A server's requests have a method and a URL, which node's own type leaves open.
    serve: (request, response) =>
      serve(request as IncomingMessage & { method: string; url: string }, response),
    close: () => void handler.close(),
  };
}
