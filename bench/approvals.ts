/** From the operator's yes to the first request that it lets through, in a real bottle; and what supervise costs idle. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connectKeeper, type Keeper } from "../src/keeper/control-client.ts";
import type { Pending } from "../src/keeper/inbox-protocol.ts";
import { makeBenchHome, pss } from "./bottle.ts";
import { type BenchRow, row } from "./row.ts";

const RUNS = 20;

/** In the bottle: asks for one path after the other, and tries it until it is there. */
const AGENT = `
const { readFileSync } = require("node:fs");
const { request } = require("node:http");
const proxy = new URL(process.env.http_proxy);
const { url, headers } = JSON.parse(readFileSync(process.env.BOTTLE_MCP_CONFIG)).mcpServers.bottle;
const answer = (options, body) => new Promise((resolve) => {
  const sent = request(options, (response) => { response.resume(); response.on("end", () => resolve(response.statusCode)); });
  sent.on("error", () => resolve(0));
  sent.end(body);
});
const ask = (path) => answer({ ...require("node:url").urlToHttpOptions(new URL(url)), method: "POST", headers: { ...headers,
  "content-type": "application/json", accept: "application/json, text/event-stream" } }, JSON.stringify({ jsonrpc: "2.0", id: 1,
  method: "tools/call", params: { name: "request_access", arguments: { host: "site.test", method: "GET", path, justification: "bench" } } }));
(async () => {
  for (let i = 0; i < ${RUNS}; i++) {
    await ask("/" + i);
    while (await answer({ host: proxy.hostname, port: proxy.port, path: "http://site.test/" + i, headers: { host: "site.test" } }) !== 200)
      await new Promise((resolve) => setTimeout(resolve, 2));
    // What may be asked for in a minute is bounded.
    await new Promise((resolve) => setTimeout(resolve, i < 15 ? 200 : 6_100));
  }
})();
`;

export async function benchApprovals(): Promise<readonly BenchRow[]> {
  const arrived = new Map<string, number>();
  const site = createServer((request, response) => {
    arrived.set(request.url ?? "", performance.now());
    response.end("ok");
  }).listen(0, "127.0.0.1");
  await once(site, "listening");
  const { port } = site.address() as AddressInfo;
  const route = {
    host: "site.test",
    connect_to: `127.0.0.1:${port}`,
    matches: [{ paths: [{ type: "exact", value: "/none" }] }],
  };
  const home = makeBenchHome(["node", "-e", AGENT], { supervise: true, egress: { routes: [route] } });
  Object.assign(process.env, home.env);
  const id = home.bottleSync("start", "bench", "--yes", "--detach").trim();
  try {
    const keeper = await connectKeeper(id);
    const samples: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      const { ticket, digest } = await nextPending(keeper);
      const from = performance.now();
      await keeper.ask({ op: "approve", ticket, digest, by: "bench" });
      const at = await until(() => arrived.get(`/${i}`));
      samples.push(at - from);
    }
    const { sidecars } = await keeper.status();
    const supervise = sidecars.find(({ name }) => name === "supervise");
    return [
      row("approve to first allowed request", "ms", samples, "goal 300 at p95"),
      row("idle supervise", "MB PSS", [pss(supervise?.pid ?? 0)], "goal 45"),
    ];
  } finally {
    site.close();
    home.bottleSync("stop", id);
    home.bottleSync("rm", "--force", id);
    home.remove();
  }
}

async function nextPending(keeper: Keeper): Promise<Pending> {
  for (;;) {
    const reply = await keeper.ask({ op: "inbox" });
    const [first] = "inbox" in reply ? reply.inbox.pending : [];
    if (first !== undefined) return first;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function until<T>(value: () => T | undefined): Promise<T> {
  for (;;) {
    const found = value();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
