/** Programs in a real bottle that ignore the proxy variables, or were started without them. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HELLO, startPlainSite, type Upstream } from "../../doubles/upstreams.ts";
import {
  createRealOperator,
  hasProgram,
  IDLE,
  type RealBottle,
  type RealOperator,
} from "../../support/real-bottle.ts";

let operator: RealOperator;
let bottle: RealBottle;
let site: Upstream;
let clear: Server;

/** Of the bottle's environment, everything but what names the proxy. */
const WITHOUT_PROXY = [
  "env",
  ...[
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "NODE_USE_ENV_PROXY",
  ].flatMap((name) => ["-u", name]),
];
const FETCH = `fetch(process.argv[1]).then(
  async (response) => console.log(response.status, response.headers.get("x-bottle-denied"), await response.text()),
  (error) => console.log(String(error.cause ?? error)),
);`;

beforeAll(async () => {
  operator = await createRealOperator();
  site = await startPlainSite({ tls: await operator.authority.issue(["allowed.test", "*.wild.test"]) });
  clear = createServer((_, response) => response.end("in the clear\n"));
  await new Promise<void>((resolve) => clear.listen(0, "127.0.0.1", resolve));
  operator.agent("direct", {
    agent_provider: IDLE,
    egress: {
      upstream_ca: [operator.caFile],
      routes: [
        { host: "allowed.test", connect_to: `127.0.0.1:${site.port}`, matches: [{ methods: ["GET"] }] },
        { host: "*.wild.test", connect_to: `127.0.0.1:${site.port}` },
        { host: "clear.test", connect_to: `127.0.0.1:${(clear.address() as AddressInfo).port}` },
      ],
    },
  });
  bottle = await operator.start("direct");
});
afterAll(async () => {
  await operator.remove();
  await site.close();
  clear.close();
});

const fetched = async (url: string): Promise<string> =>
  (await bottle.exec(...WITHOUT_PROXY, "node", "-e", FETCH, url)).stdout;

describe("in a bottle, without the proxy", () => {
  it("node's fetch reaches an allowed host, by TLS and in the clear", async () => {
    expect(await fetched("https://allowed.test/")).toContain(HELLO);
    expect(await fetched("http://clear.test/")).toContain("in the clear");
  });

  it("node's fetch of node 20 does so in the environment that an agent has", async () => {
    const { stdout } = await bottle.exec("node", "-e", FETCH, "https://allowed.test/");
    expect(stdout).toContain(HELLO);
  });

  it.skipIf(!hasProgram("python3"))("python's urllib does", async () => {
    const script = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())";
    const { stdout, stderr } = await bottle.exec(
      "env",
      "no_proxy=*",
      "python3",
      "-c",
      script,
      "https://allowed.test/",
    );
    expect(stdout, stderr).toContain(HELLO);
  });

  it("curl does, and is told of a refusal in the same shape", async () => {
    const curl = ["curl", "-sS", "--noproxy", "*"];
    expect((await bottle.exec(...curl, "https://allowed.test/")).stdout).toContain(HELLO);
    expect((await bottle.exec(...curl, "-d", "x", "https://allowed.test/")).stdout).toContain(
      "method-not-allowed",
    );
    expect(
      (await bottle.exec(...curl, "--resolve", "evil.test:443:127.0.0.1", "https://evil.test/")).stdout,
    ).toContain("host-not-allowed");
  });

  it("other names have no address, so nothing leaves by them", async () => {
    expect(await fetched("https://evil.test/")).toMatch(/ENOTFOUND|EAI_AGAIN/);
    expect(await fetched("https://a.wild.test/")).toMatch(/ENOTFOUND|EAI_AGAIN/);
    // Through the proxy, as every other program goes.
    expect((await bottle.exec("curl", "-sS", "https://a.wild.test/")).stdout).toContain(HELLO);
  });

  it("the guest's own ports are its own", async () => {
    const script = `const http = require("http");
      const server = http.createServer((_, response) => response.end("mine")).listen(8080, "127.0.0.1", async () => {
        console.log(await (await fetch("http://localhost:8080/")).text());
        server.close();
        require("net").createServer().on("error", (error) => console.log(error.code)).listen(80, "0.0.0.0");
      });`;
    const { stdout } = await bottle.exec("node", "-e", script);
    expect(stdout).toBe("mine\nEADDRINUSE\n");
  });

  it("is asked after at launch, and works again after egress was killed", async () => {
    const verified = bottle.log().find(({ event }) => event === "bottle.verified");
    for (const port of [9099, 443, 80]) {
      expect(verified?.data["results"]).toContain(`tcp 127.0.0.1:${port} answered`);
    }
    process.kill(await bottle.egress(), "SIGKILL");
    await bottle.logged(({ event }) => event === "sidecar.restarted" || event.endsWith("restarted"));
    expect(await fetched("https://allowed.test/")).toContain(HELLO);
    expect(await fetched("http://clear.test/")).toContain("in the clear");
    expect((await bottle.exec("curl", "-sS", "https://allowed.test/")).stdout).toContain(HELLO);
  });
});
