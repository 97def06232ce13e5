import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import {
  type ClientResult,
  curl,
  denialIn,
  dialProxy,
  exchangeRaw,
  readAll,
  type TestEgress,
  testEgress,
} from "../../support/egress.ts";
import { codeOfRaw, type Site, type SiteOptions, sites } from "../../support/egress-site.ts";

const HOST = "api.example.test";
const ANY_PORT = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;

const { serve } = sites();

interface Direct extends Site {
  readonly tls: number;
  readonly http: number;
}

/** Egress with a listener for each port of the guest's loopback. */
async function serveDirectly(options: Partial<SiteOptions> = {}): Promise<Direct> {
  const site = await serve({
    hosts: [
      HOST,
      "*.wild.test",
      { host: "ruled.test", matches: [{ methods: ["GET"], paths: [{ type: "prefix", value: "/public" }] }] },
      { host: "sealed.test", tls: "passthrough" },
      { host: "keyed.test", inject: [{ header: "authorization", value: "Bearer x" }] },
    ],
    options: { config: { direct: { tls: ANY_PORT, http: ANY_PORT } } },
    ...options,
  });
  const [, tls = 0, http = 0] = site.egress.listening.map((address) => Number(address.split(":").at(-1)));
  return { ...site, tls, http };
}

/** Curl as a program that knows no proxy; its hosts file leads to egress. */
function direct(site: Direct, url: string, ...args: readonly string[]): Promise<ClientResult> {
  const port = url.startsWith("https:") ? site.tls : site.http;
  return curl(site.egress, "--noproxy", "*", "--connect-to", `::127.0.0.1:${port}`, ...args, url);
}

function greet(site: Direct, servername: string | undefined, alpn = "http/1.1"): Promise<TLSSocket> {
  const tls = connectTls({
    host: "127.0.0.1",
    port: site.tls,
    ca: site.egress.ca.certificate,
    ALPNProtocols: [alpn],
    checkServerIdentity: () => undefined,
    ...(servername !== undefined && { servername }),
  });
  return once(tls, "secureConnect").then(() => tls);
}

describe("without the proxy", () => {
  it.each<[string, readonly string[]]>([
    [`https://${HOST}/a?b`, []],
    [`https://${HOST}/a?b`, ["--http2"]],
    [`https://${HOST}/a?b`, ["-d", "body"]],
    ["https://ruled.test/public/x", []],
    ["https://keyed.test/", []],
  ])("%s is reached by its SNI (%j)", async (url, args) => {
    const site = await serveDirectly();
    expect((await direct(site, url, ...args)).stdout).toBe("reached");
    expect(site.reached).toMatchObject([{ host: new URL(url).host }]);
    expect(await site.egress.waitFor("egress.allowed")).toMatchObject([{ via: "http", status: 200 }]);
  });

  it("plain HTTP is reached by its Host", async () => {
    const site = await serveDirectly({ scheme: "http" });
    expect((await direct(site, `http://${HOST}/a?b`)).stdout).toBe("reached");
    const absolute = await exchangeRaw(
      site.http,
      `GET http://${HOST}/c HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`,
    );
    expect(absolute).toContain("reached");
    expect(site.reached.map(({ host, url }) => host + url)).toEqual([`${HOST}/a?b`, `${HOST}/c`]);
  });

  it.each<[string, string, readonly string[]]>([
    ["https://evil.test/", "host-not-allowed", []],
    ["http://evil.test/", "host-not-allowed", []],
    ["https://a.wild.test/", "proxy-required", []],
    ["http://a.wild.test/", "proxy-required", []],
    ["https://xn--e1afmkfd.wild.test/", "idn-not-named", []],
    ["https://ruled.test/admin", "path-not-allowed", []],
    ["https://ruled.test/public", "method-not-allowed", ["-d", "x"]],
    ["http://ruled.test/admin", "path-not-allowed", []],
    [`https://${HOST}/r.git/info/refs?service=git-receive-pack`, "git-push-refused", []],
    [`https://${HOST}/`, "host-mismatch", ["-H", "Host: ruled.test"]],
    ["http://127.0.0.1/", "host-not-allowed", []],
    ["http://localhost/", "host-not-allowed", []],
  ])("%s is refused as %s, in the same shape", async (url, code, args) => {
    const site = await serveDirectly();
    const { stdout } = await direct(site, url, ...args);
    expect(denialIn(stdout).code).toBe(code);
    expect((await site.egress.waitFor("egress.denied"))[0]).toMatchObject({ code });
    expect(site.reached).toEqual([]);
    expect(site.resolved).toEqual([]);
  });

  it("TLS that names no host is refused inside", async () => {
    const site = await serveDirectly();
    const tls = await greet(site, undefined);
    const answer = readAll(tls);
    tls.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
    expect(codeOfRaw((await answer).text)).toBe("sni-mismatch");
    expect(site.reached).toEqual([]);
  });

  it("every stream for a host that is not allowed is refused", async () => {
    const site = await serveDirectly();
    const tls = await greet(site, "evil.test", "h2");
    const session = connectHttp2("https://evil.test", { createConnection: () => tls });
    for (let i = 0; i < 2; i++) {
      const stream = session.request({ ":path": "/" });
      const [head] = (await once(stream, "response")) as [Record<string, unknown>];
      expect(head).toMatchObject({ ":status": 403, "x-bottle-denied": "host-not-allowed" });
      stream.resume();
    }
    session.destroy();
  });

  it("an exempted host passes unopened, and its certificate is its own", async () => {
    const site = await serveDirectly();
    const { stdout, stderr, exitCode } = await direct(site, "https://sealed.test/");
    // Nobody told curl of the site's authority: it is not ours that it sees.
    expect({ exitCode, stdout }).toEqual({ exitCode: 60, stdout: "" });
    expect(stderr).toContain("certificate");
    expect((await direct(site, "https://sealed.test/", "-k")).stdout).toBe("reached");
    expect((await site.egress.waitFor("egress.allowed")).at(-1)).toMatchObject({ via: "passthrough" });
  });

  it("an exempted host that cannot be reached is told inside", async () => {
    const site = await serveDirectly();
    await site.egress.reload({
      ...site.policy,
      routes: site.policy.routes.map((route) => ({ ...route, connectTo: { host: "127.0.0.1", port: 1 } })),
    });
    expect(denialIn((await direct(site, "https://sealed.test/")).stdout).code).toBe("upstream-unreachable");
  });

  it.each<[string, string, "tls" | "http", string]>([
    ["plain HTTP on the port for TLS", `GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`, "tls", "not-tls"],
    ["CONNECT on the port for TLS", `CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`, "tls", "not-tls"],
    ["CONNECT on the port for HTTP", `CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`, "http", "method-refused"],
    ["a request without Host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "http", "host-invalid"],
    [
      "another port in Host",
      `GET / HTTP/1.1\r\nHost: ${HOST}:8080\r\nConnection: close\r\n\r\n`,
      "http",
      "port-refused",
    ],
    [
      "another host in the URL",
      `GET http://${HOST}/ HTTP/1.1\r\nHost: ruled.test\r\nConnection: close\r\n\r\n`,
      "http",
      "host-mismatch",
    ],
    ["TLS on the port for HTTP", "\u0016\u0003\u0001\u0002\0\u0001\0", "http", "request-malformed"],
  ])("%s is refused", async (_what, bytes, where, code) => {
    const site = await serveDirectly();
    expect(codeOfRaw(await exchangeRaw(site[where], Buffer.from(bytes, "latin1")))).toBe(code);
    expect(site.reached).toEqual([]);
  });

  it("a client that says nothing is not waited for", async () => {
    const site = await serveDirectly({
      options: {
        config: { direct: { tls: ANY_PORT, http: ANY_PORT } },
        limits: { handshakeMs: 100, idleMs: 100, tickMs: 20 },
      },
    });
    for (const port of [site.tls, site.http]) {
      expect(await readAll(await dialProxy(port))).toEqual({ text: "", reset: false });
    }
  });
});

describe("listeners for programs without a proxy", () => {
  let egress: TestEgress | undefined;
  afterEach(() => egress?.stop());

  it("do not go with a bearer, which nobody would send there", async () => {
    const start = testEgress(
      {},
      { config: { direct: { tls: ANY_PORT, http: ANY_PORT }, bearer: "b".repeat(20) } },
    );
    await expect(start).rejects.toThrow("cannot ask for a bearer");
  });

  it("are all closed when one of them cannot be had", async () => {
    egress = await testEgress({});
    const taken = { kind: "tcp", host: "127.0.0.1", port: egress.port } as const;
    await expect(testEgress({}, { config: { direct: { tls: ANY_PORT, http: taken } } })).rejects.toThrow(
      "cannot listen",
    );
  });
});
