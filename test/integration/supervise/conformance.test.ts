/**
 * The protocol's published conformance suite, run against supervise as it is; and, because the suite calls tools of its
 * own, once more with those behind the same front and the same use of the protocol's implementation.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { McpServer } from "@modelcontextprotocol/server";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { createAdmission } from "../../../src/sidecars/supervise/http/admission.ts";
import { createFront } from "../../../src/sidecars/supervise/http/front.ts";
import { createProtocol } from "../../../src/sidecars/supervise/mcp.ts";
import { closesAfterEach } from "../../support/closing.ts";
import { conformanceOf } from "../../support/conformance.ts";
import { startSuperviseProcess, superviseConfig } from "../../support/supervise.ts";

const TIMEOUT = { timeout: 600_000 };

/** Of docs/supervise.md: `scenario`, how many of its checks fail, and why. */
const listed = readFileSync(new URL("../../../docs/supervise.md", import.meta.url), "utf8")
  .split("\n## Conformance\n")[1]
  ?.split("\n")
  .flatMap((row) => {
    const [, names = "", own = "", why = ""] = row.split("|").map((cell) => cell.trim());
    const scenarios = [...names.matchAll(/`([a-z0-9-]+)`/g)].map(([, name = ""]) => name);
    return scenarios.map((scenario) => ({ scenario, failed: Number(own), why }));
  });
if (listed === undefined) throw new Error("docs/supervise.md says nothing of conformance");

const closing = closesAfterEach();

describe("the conformance suite", () => {
  it("passes but for what docs/supervise.md lists, with the reason for each", TIMEOUT, async () => {
    const supervise = startSuperviseProcess();
    closing.push(() => supervise.kill());
    supervise.send({ type: "config", config: superviseConfig() });
    const outcomes = await conformanceOf(`http://${await supervise.ready()}/mcp`);
    const failing = outcomes
      .filter(({ failed }) => failed > 0)
      .map(({ scenario, failed }) => [scenario, failed]);
    expect(failing.sort()).toEqual(listed.map(({ scenario, failed }) => [scenario, failed]).sort());
    expect(outcomes.reduce((sum, { passed }) => sum + passed, 0)).toBeGreaterThan(100);
    for (const { why } of listed) expect(why).not.toBe("");
  });

  it("passes with the tools that it calls, in both eras", TIMEOUT, async () => {
    const url = await serveTools(suiteTools);
    const outcomes = await conformanceOf(url);
    const ofTools = outcomes.filter(({ scenario }) => TOOL_SCENARIOS.includes(scenario));
    expect(ofTools.map(({ scenario }) => scenario).sort()).toEqual(TOOL_SCENARIOS.toSorted());
    expect(ofTools.filter(({ failed }) => failed > 0)).toEqual([]);
  });
});

const TOOL_SCENARIOS = [
  "tools-list",
  "tools-call-simple-text",
  "tools-call-image",
  "tools-call-audio",
  "tools-call-embedded-resource",
  "tools-call-mixed-content",
  "tools-call-error",
  "tools-call-with-progress",
];

async function serveTools(register: (server: McpServer) => void): Promise<string> {
  const protocol = createProtocol({ version: "0", register, onError: () => {} });
  const front = createFront({
    admit: createAdmission({ bearer: undefined, hosts: [] }),
    serve: protocol.serve,
    onRefused: () => {},
    onError: () => {},
  });
  const server = createServer((socket) => void front.server.emit("connection", socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.close();
    protocol.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `http://127.0.0.1:${address.port}/mcp`;
}

/** As the suite describes them. */
function suiteTools(server: McpServer): void {
  const pixel = Buffer.from("89504e470d0a1a0a", "hex").toString("base64");
  const text = (words: string) => ({ type: "text" as const, text: words });
  const image = { type: "image" as const, data: pixel, mimeType: "image/png" };
  const audio = { type: "audio" as const, data: "UklGRg==", mimeType: "audio/wav" };
  const resource = (uri: string, mimeType: string, words: string) => ({
    type: "resource" as const,
    resource: { uri, mimeType, text: words },
  });
  const embedded = resource(
    "test://embedded-resource",
    "text/plain",
    "This is an embedded resource content.",
  );
  const mixed = resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}');
  const tools = {
    test_simple_text: [text("This is a simple text response for testing.")],
    test_image_content: [image],
    test_audio_content: [audio],
    test_embedded_resource: [embedded],
    test_multiple_content_types: [text("Multiple content types test:"), image, mixed],
  };
  const inputSchema = z.object({});
  for (const [name, content] of Object.entries(tools)) {
    server.registerTool(name, { description: name, inputSchema }, () => ({ content }));
  }
  server.registerTool("test_error_handling", { description: "fails", inputSchema }, () => {
    throw new Error("This tool intentionally returns an error for testing");
  });
  server.registerTool(
    "test_tool_with_progress",
    { description: "takes time", inputSchema },
    async (_, { mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken;
      for (const progress of [0, 50, 100]) {
        if (progressToken === undefined) continue;
        await mcpReq.notify({
          method: "notifications/progress",
          params: { progressToken, progress, total: 100 },
        });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return { content: [text("done")] };
    },
  );
}
