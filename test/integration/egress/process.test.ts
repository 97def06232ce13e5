import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../../demo/upstreams/certificate-authority.ts";
import {
  type CertificateAuthority as BottleCa,
  mintAuthority,
} from "../../../src/bundle/certificate-authority.ts";
import type { EgressConfig } from "../../../src/contract/sidecar.ts";
import { closesAfterEach } from "../../support/closing.ts";
import { config, curl, openTunnel, policyOf, readAll, readHead, route, until } from "../../support/egress.ts";
import { type EgressProcess, startEgressProcess } from "../../support/egress-process.ts";
import { httpsUpstream, type Upstream } from "../../support/tls-upstream.ts";

const HOST = "api.example.test";
const TOKEN = ["sk", "live", "process", "test"].join("-");
const BEARER = ["bearer", "process", "test"].join("-");

let root: CertificateAuthority;
let ca: BottleCa;
let upstream: Upstream;
/** Credentials with which the upstream was asked. */
const credentials: unknown[] = [];
const closing = closesAfterEach();

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
  ca = await mintAuthority("test-00000");
});

function launch(keepsLog = true): EgressProcess {
  const egress = startEgressProcess(keepsLog);
  closing.push(async () => {
    egress.child.kill("SIGKILL");
    await egress.ended;
  });
  return egress;
}

async function fullConfig(more: Partial<EgressConfig> = {}): Promise<EgressConfig> {
  credentials.length = 0;
  upstream = await httpsUpstream(await root.issue([HOST]), (request, response) => {
    credentials.push(request.headers.authorization);
    if (request.url === "/slow") {
      response.write("begin ");
      setTimeout(() => response.end("end"), 300);
    } else if (request.url === "/forever") {
      response.write("begin ");
    } else {
      response.end(`token ${request.headers.authorization}`);
    }
  });
  closing.push(() => upstream.close());
  return config(
    ca,
    {
      routes: [
        route({
          host: HOST,
          connectTo: { host: "127.0.0.1", port: upstream.port },
          inject: [{ header: "authorization", value: `Bearer ${TOKEN}` }],
        }),
      ],
      upstreamCa: [root.certificate],
    },
    more,
  );
}

/** Launched, configured and ready on a TCP port. */
async function ready(more: Partial<EgressConfig> = {}): Promise<{ egress: EgressProcess; port: number }> {
  const egress = launch();
  egress.send({ type: "config", config: await fullConfig(more) });
  const { listening } = await egress.next("ready");
  return { egress, port: Number(listening[0]?.split(":").at(-1)) };
}

describe("the egress process", () => {
  it("serves once it has said that it is ready", async () => {
    const { egress, port } = await ready();
    const { stdout } = await curl({ port, ca }, `https://${HOST}/`);
    expect(stdout).toBe(`token Bearer ${"X".repeat(TOKEN.length)}`);
    expect(credentials).toEqual([`Bearer ${TOKEN}`]);
    for (const event of ["egress.admitted", "egress.allowed"])
      expect(await egress.next("event")).toMatchObject({
        event,
        data: { method: "GET", host: HOST, path: "/", credential: ["authorization"] },
      });
  });

  it("I8: sends nothing on until it is told that the request is on the log", async () => {
    const egress = launch(false);
    egress.send({ type: "config", config: await fullConfig() });
    const { listening } = await egress.next("ready");
    const port = Number(listening[0]?.split(":").at(-1));
    const asking = curl({ port, ca }, `https://${HOST}/`);
    const { event, receipt } = await egress.next("event");
    expect({ event, receipt }).toEqual({ event: "egress.admitted", receipt: expect.any(Number) });
    for (const wrong of [{}, { receipt: 0 }, { receipt: 99 }, { receipt: String(receipt) }])
      egress.send({ type: "recorded", ...wrong });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(credentials).toEqual([]);
    egress.send({ type: "recorded", receipt });
    expect((await asking).stdout).toBe(`token Bearer ${"X".repeat(TOKEN.length)}`);
    expect(credentials).toHaveLength(1);
  });

  it("serves on a listener that it inherits, and the guest is refused once it is dead", async () => {
    const listener: Server = createServer();
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const address = listener.address();
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    const egress = launch();
    egress.send({ type: "config", config: await fullConfig({ listen: { kind: "inherited" } }) });
    egress.handOver(listener);
    expect(await egress.next("ready")).toEqual({ type: "ready", listening: ["inherited"] });
    listener.close();
    for (const version of ["--http1.1", "--http2"]) {
      const { stdout } = await curl({ port, ca }, version, `https://${HOST}/`);
      expect(stdout).toBe(`token Bearer ${"X".repeat(TOKEN.length)}`);
    }
    expect(credentials).toEqual([`Bearer ${TOKEN}`, `Bearer ${TOKEN}`]);
    egress.child.kill("SIGKILL");
    await egress.ended;
    const code = await new Promise<string>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("connect", () => resolve("connected"));
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "?"));
    });
    expect(code).toBe("ECONNREFUSED");
  });

  it("serves on a Unix socket, and takes it away with itself", async () => {
    const dir = await mkdtemp(join(tmpdir(), "egress-"));
    closing.push(() => rm(dir, { recursive: true }));
    const path = join(dir, "egress.sock");
    const egress = launch();
    egress.send({ type: "config", config: await fullConfig({ listen: { kind: "unix", path } }) });
    expect(await egress.next("ready")).toEqual({ type: "ready", listening: [path] });
    const socket = connect(path);
    socket.write("GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    expect(await readHead(socket)).toContain("403 Denied by bottle: host-not-allowed");
    socket.destroy();
    egress.child.stdin?.end();
    expect(await egress.ended).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  it("keeps every secret to itself: no message, denial or error ever shows one", async () => {
    const { egress, port } = await ready({ bearer: BEARER });
    const proxy = `http://x:${BEARER}@127.0.0.1:${port}`;
    const seen: unknown[] = [];
    seen.push(
      await curl({ port, ca }, "-v", "--proxy", proxy, "-H", `X: ${"y".repeat(40_000)}`, `https://${HOST}/`),
    );
    seen.push(await curl({ port, ca }, "-v", `https://${HOST}/`));
    await upstream.close();
    seen.push(await curl({ port, ca }, "--proxy", proxy, `https://${HOST}/`));
    const policy = {
      ...policyOf({}),
      routes: [{ ...route({ host: "a.test" }), inject: [{ header: "x", value: `${TOKEN}\n` }] }],
      upstreamCa: [TOKEN],
    };
    egress.send({ type: "reload", policy });
    egress.send({
      type: "reload",
      policy: { ...policy, routes: [{ ...policy.routes[0], inject: [{ header: TOKEN }] }] },
    });
    egress.sendLine(`{"type":"reload","policy":"${TOKEN}" nonsense`);
    egress.sendLine(JSON.stringify(TOKEN));
    await egress.next("reloaded");
    await egress.next("reloaded");
    await egress.next("log");
    await egress.next("log");
    egress.child.stdin?.end();
    expect(await egress.ended).toBe(0);
    // curl shows its own proxy credential, encoded, with -v.
    const all = JSON.stringify([egress.lines, egress.stderr(), seen]);
    expect(egress.lines.length).toBeGreaterThan(5);
    expect(all).not.toContain(TOKEN);
    expect(egress.lines.join()).not.toContain(BEARER);
    expect(all).not.toContain("PRIVATE KEY");
    for (const line of ca.privateKey.split("\n").slice(1, 3)) expect(all).not.toContain(line);
  });

  it("refuses a bad reload whole, and takes a good one", async () => {
    const { egress, port } = await ready();
    const other = policyOf({ routes: [route({ host: "other.test" })] });
    egress.send({ type: "reload", policy: { ...other, routes: [...other.routes, { host: "x" }] } });
    expect((await egress.next("reloaded")).error).toContain("routes.1");
    egress.send({
      type: "reload",
      policy: { ...other, routes: [...other.routes, route({ host: "not a host" })] },
    });
    expect((await egress.next("reloaded")).error).toContain("route 2 (not a host)");
    expect((await curl({ port, ca }, `https://${HOST}/`)).stdout).toContain("token");
    egress.send({ type: "reload", policy: other });
    expect(await egress.next("reloaded")).toEqual({ type: "reloaded" });
    expect((await curl({ port, ca }, `https://${HOST}/`)).stdout).toContain('"code":"host-not-allowed"');
  });

  it("ends at once, with whatever it is doing, when stdin ends", async () => {
    const { egress, port } = await ready();
    const socket = await openTunnel({ port, ca }, HOST);
    socket.write(`GET /forever HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await readHead(socket);
    const rest = readAll(socket);
    egress.child.stdin?.end();
    expect(await egress.ended).toBe(0);
    expect((await rest).text).not.toContain("0\r\n\r\n");
  });

  it("drains on SIGTERM: accepts nothing, finishes what is in progress, then ends", async () => {
    const { egress, port } = await ready();
    const idle = await openTunnel({ port, ca }, HOST);
    const idleClosed = new Promise((resolve) => idle.once("close", resolve));
    const slow = curl({ port, ca }, `https://${HOST}/slow`);
    await until(() => upstream.accepted() === 1);
    egress.child.kill("SIGTERM");
    await idleClosed;
    const refused = await curl({ port, ca }, `https://${HOST}/`);
    expect(refused.exitCode).toBe(7);
    expect((await slow).stdout).toBe("begin end");
    expect(await egress.ended).toBe(0);
  });
});

describe("a configuration that cannot be served", () => {
  it.each<[string, (config: EgressConfig) => unknown, string]>([
    ["is no config", () => ({ type: "reload", policy: {} }), "not a config message"],
    ["lacks a part", ({ listen, ...rest }) => ({ type: "config", config: rest }), "listen"],
    ["has an unknown key", (config) => ({ type: "config", config: { ...config, more: 1 } }), "more"],
    [
      "has a broken pattern",
      (config) => ({
        type: "config",
        config: {
          ...config,
          policy: {
            ...config.policy,
            routes: [route({ host: "a.test", matches: [{ paths: [{ type: "regex", value: "/(" }] }] })],
          },
        },
      }),
      "route 1 (a.test): pattern /(",
    ],
    [
      "has another CA's key",
      (config) => ({
        type: "config",
        config: { ...config, ca: { ...config.ca, certificate: root.certificate } },
      }),
      "ca:",
    ],
    [
      "has no key at all",
      (config) => ({ type: "config", config: { ...config, ca: { ...config.ca, privateKey: TOKEN } } }),
      "ca:",
    ],
    [
      "wants an address that is taken",
      (config) => ({
        type: "config",
        config: { ...config, listen: { kind: "tcp", host: "127.0.0.1", port: upstream.port } },
      }),
      "cannot listen",
    ],
    [
      "wants a folder that is not there",
      (config) => ({
        type: "config",
        config: { ...config, listen: { kind: "unix", path: "/nonexistent/x.sock" } },
      }),
      "cannot listen",
    ],
  ])("because it %s is one clear line and exit 1", async (_what, change, text) => {
    const egress = launch();
    egress.send(change(await fullConfig()));
    expect(await egress.ended).toBe(1);
    expect(egress.messages).toEqual([
      { type: "log", level: "error", text: expect.stringContaining(text) as string },
    ]);
    expect(egress.stderr()).toBe("");
    expect(egress.lines.join()).not.toContain(TOKEN);
  });

  it("because it is no JSON is one line that does not quote it", async () => {
    const egress = launch();
    egress.sendLine(`{"type":"config","secret":"${TOKEN}"`);
    expect(await egress.ended).toBe(1);
    expect(egress.lines).toHaveLength(1);
    expect(egress.lines.join()).not.toContain(TOKEN);
  });

  it("because nobody sends one is no failure: the keeper is gone", async () => {
    const egress = launch();
    egress.child.stdin?.end();
    expect(await egress.ended).toBe(0);
  });
});
