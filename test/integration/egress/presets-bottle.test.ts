/** A preset, an operator's registry and a company's proxy, with the real npm in a real bottle. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ConnectProxy, startConnectProxy } from "../../doubles/connect-proxy.ts";
import { createRealOperator, IDLE, type RealBottle, type RealOperator } from "../../support/real-bottle.ts";

const VERSION = "1.2.3";
const LOGIN = ["me", "word"].join(":");

let operator: RealOperator;
let bottle: RealBottle;
let registry: Server;
let proxy: ConnectProxy;
const asked: string[] = [];

beforeAll(async () => {
  registry = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const name = "@team/thing";
    const versions = {
      [VERSION]: { name, version: VERSION, dist: { tarball: "http://registry.example/t.tgz" } },
    };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ name, "dist-tags": { latest: VERSION }, versions }));
  });
  await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));
  // Nobody but the company's proxy knows where the registry is.
  proxy = await startConnectProxy({
    names: { "registry.example:4873": (registry.address() as AddressInfo).port },
    credential: LOGIN,
  });
  operator = await createRealOperator();
  operator.agent("builder", {
    agent_provider: IDLE,
    egress: {
      presets: ["npm"],
      upstream_proxy: { url: `http://127.0.0.1:${proxy.port}`, token_ref: "PROXY_LOGIN" },
    },
  });
  bottle = await operator.start("builder", [], {
    env: { npm_config_registry: "http://registry.example:4873/npm/", PROXY_LOGIN: LOGIN },
  });
});
afterAll(async () => {
  await operator.remove();
  await proxy.close();
  registry.close();
});

describe("npm in a bottle with its preset", () => {
  it("reads a scoped package from the operator's registry, through the company's proxy", async () => {
    const { stdout, stderr } = await bottle.exec("npm", "view", "@team/thing", "version");
    expect(stdout.trim(), stderr).toBe(VERSION);
    // Besides, npm looks for a newer one of itself.
    expect(asked).toContain("GET /npm/@team%2fthing");
    expect(proxy.asked.map(({ line }) => line)).toContain("CONNECT registry.example:4873");
  });

  it("publishes nothing", async () => {
    await bottle.sh(`mkdir -p p && echo '{"name":"@team/thing","version":"9.9.9"}' >p/package.json`);
    const { code, stderr } = await bottle.exec(
      "sh",
      "-c",
      "cd p && npm publish --//registry.example/npm/:_authToken=x",
    );
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/403|method-not-allowed/);
    expect(asked.filter((line) => !line.startsWith("GET "))).toEqual([]);
  });

  it("finds neither the proxy nor its credential", async () => {
    const environment = await bottle.sh("env; cat ~/.npmrc");
    expect(environment).toContain("registry=http://registry.example/npm/");
    expect(environment).not.toContain(LOGIN);
    expect(environment).not.toContain(String(proxy.port));
    expect(JSON.stringify(bottle.log())).not.toContain(LOGIN);
  });
});
