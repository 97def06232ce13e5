import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../../demo/upstreams/certificate-authority.ts";
import type { EgressPolicy } from "../../../src/contract/sidecar.ts";
import {
  type ConnectProxy,
  type ConnectProxyOptions,
  startConnectProxy,
} from "../../doubles/connect-proxy.ts";
import { closesAfterEach } from "../../support/closing.ts";
import {
  curl,
  denialIn,
  policyOf,
  type RouteOptions,
  route,
  type TestEgress,
  testEgress,
} from "../../support/egress.ts";
import { httpsUpstream, httpUpstream, tcpUpstream, type Upstream } from "../../support/tls-upstream.ts";

const HOST = "api.example.test";
const CREDENTIAL = ["me", "proxy-password"].join(":");
const BASIC = `Basic ${Buffer.from(CREDENTIAL).toString("base64")}`;

let root: CertificateAuthority;
let secure: Upstream;
let clear: Upstream;
let reached: { host: string | undefined; url: string | undefined; headers: string }[];
const closing = closesAfterEach();

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
});

interface Setting {
  readonly routes?: readonly RouteOptions[];
  readonly proxy?: Partial<NonNullable<EgressPolicy["upstreamProxy"]>>;
  readonly double?: Partial<ConnectProxyOptions>;
  /** What this machine makes of a name. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  readonly upstreamCa?: readonly string[];
}

async function serve(
  setting: Setting = {},
): Promise<{ egress: TestEgress; proxy: ConnectProxy; resolved: string[] }> {
  reached = [];
  const listener: Parameters<typeof httpUpstream>[0] = (request, response) => {
    reached.push({ host: request.headers.host, url: request.url, headers: request.rawHeaders.join("\n") });
    request.resume();
    response.end(`reached ${request.url}`);
  };
  secure = await httpsUpstream(await root.issue([HOST, "named.test", "10.9.8.7"]), listener);
  clear = await httpUpstream(listener);
  const proxy = await startConnectProxy({
    names: {
      [`${HOST}:443`]: secure.port,
      [`${HOST}:80`]: clear.port,
      "sealed.test:443": secure.port,
      "elsewhere.test:8443": secure.port,
      "elsewhere.test:8080": clear.port,
      "10.9.8.7:443": secure.port,
    },
    ...setting.double,
  });
  const resolved: string[] = [];
  const egress = await testEgress(
    {
      routes: (setting.routes ?? [{ host: HOST }]).map((each) => route(each)),
      upstreamCa: [...(setting.upstreamCa ?? [root.certificate])],
      upstreamProxy: { host: "127.0.0.1", port: proxy.port, tls: false, ...setting.proxy },
    },
    {
      resolve: (host) => {
        resolved.push(host);
        return (
          setting.resolve?.(host) ?? Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" }))
        );
      },
      limits: { proxiedResolveMs: 200, connectMs: 2_000 },
    },
  );
  closing.push(
    () => secure.close(),
    () => clear.close(),
    () => proxy.close(),
    () => egress.stop(),
  );
  return { egress, proxy, resolved };
}

const codeFor = async (egress: TestEgress, url: string, ...args: readonly string[]): Promise<string> =>
  denialIn((await curl(egress, "--noproxy", "none", ...args, url)).stdout).code;

describe("through an upstream proxy", () => {
  it("https goes by CONNECT, for a name that nobody here knows", async () => {
    const { egress, proxy } = await serve();
    for (let i = 0; i < 3; i++)
      expect((await curl(egress, `https://${HOST}/a?b`)).stdout).toBe("reached /a?b");
    // One tunnel serves them all.
    expect(proxy.asked).toEqual([{ line: `CONNECT ${HOST}:443`, authorization: undefined }]);
    expect(reached[0]?.host).toBe(HOST);
  });

  it("plain http goes by absolute form", async () => {
    const { egress, proxy } = await serve();
    expect((await curl(egress, `http://${HOST}/a?b`)).stdout).toBe("reached /a?b");
    expect((await curl(egress, "-d", "body", `http://${HOST}/c`)).stdout).toBe("reached /c");
    expect(proxy.asked.map(({ line }) => line)).toEqual([`GET http://${HOST}/a?b`, `POST http://${HOST}/c`]);
  });

  it("an exempted host goes by CONNECT, unopened", async () => {
    const { egress, proxy } = await serve({ routes: [{ host: "sealed.test", tls: "passthrough" }] });
    expect((await curl(egress, "-k", "https://sealed.test/")).stdout).toBe("reached /");
    expect(proxy.asked.map(({ line }) => line)).toEqual(["CONNECT sealed.test:443"]);
  });

  it("connect_to is where the proxy is asked to go, also for plain http", async () => {
    const { egress, proxy } = await serve({
      routes: [
        { host: "named.test", connectTo: { host: "elsewhere.test", port: 8443 } },
        { host: "plain.test", connectTo: { host: "elsewhere.test", port: 8080 } },
      ],
    });
    expect((await curl(egress, "https://named.test/x")).stdout).toBe("reached /x");
    expect((await curl(egress, "http://plain.test/y")).stdout).toBe("reached /y");
    expect(proxy.asked.map(({ line }) => line)).toEqual([
      "CONNECT elsewhere.test:8443",
      "CONNECT elsewhere.test:8080",
    ]);
    expect(reached.map(({ host }) => host)).toEqual(["named.test", "plain.test"]);
  });

  it("what connect_to puts on this very machine is dialled directly", async () => {
    const { egress, proxy } = await serve({
      routes: [{ host: HOST, connectTo: { host: "127.0.0.1", port: 1 } }],
    });
    await egress.reload(
      policyOf({
        routes: [route({ host: HOST, connectTo: { host: "127.0.0.1", port: secure.port } })],
        upstreamCa: [root.certificate],
        upstreamProxy: { host: "127.0.0.1", port: proxy.port, tls: false },
      }),
    );
    expect((await curl(egress, `https://${HOST}/`)).stdout).toBe("reached /");
    expect(proxy.asked).toEqual([]);
  });

  it("a proxy that speaks TLS is spoken to in TLS, and must prove who it is", async () => {
    const identity = await root.issue(["proxy.test"]);
    const here = (host: string): Promise<readonly string[]> =>
      host === "proxy.test" ? Promise.resolve(["127.0.0.1"]) : Promise.reject(new Error("no"));
    const good = await serve({
      double: { identity },
      proxy: { host: "proxy.test", tls: true },
      resolve: here,
    });
    expect((await curl(good.egress, `https://${HOST}/`)).stdout).toBe("reached /");
    expect((await curl(good.egress, `http://${HOST}/`)).stdout).toBe("reached /");
    const bad = await serve({ double: { identity }, proxy: { host: "127.0.0.1", tls: true } });
    expect(await codeFor(bad.egress, `https://${HOST}/`)).toBe("upstream-tls");
    expect(bad.proxy.asked).toEqual([]);
  });
});

describe("the proxy's credential", () => {
  it("is told to the proxy, on every way, and to nobody else", async () => {
    const { egress, proxy } = await serve({
      double: { credential: CREDENTIAL },
      proxy: { authorization: BASIC },
    });
    for (const scheme of ["https", "http"]) {
      const { stdout } = await curl(egress, "-H", "Proxy-Authorization: guess", `${scheme}://${HOST}/`);
      expect(stdout).toBe("reached /");
    }
    expect(proxy.asked.map(({ authorization }) => authorization)).toEqual([BASIC, BASIC]);
    expect(JSON.stringify(egress.messages)).not.toContain(BASIC);
    expect(reached[0]?.headers).not.toMatch(/proxy-authorization/i);
  });

  it.each([["https"], ["http"]])(
    "that is missing or wrong is egress' failure, and not asked of the guest (%s)",
    async (scheme) => {
      const { egress } = await serve({ double: { credential: CREDENTIAL } });
      const { stdout } = await curl(egress, "-i", `${scheme}://${HOST}/`);
      expect(stdout).toContain("502");
      expect(stdout).toContain("upstream-proxy");
      expect(stdout).toContain("it wants another credential");
      expect(stdout).not.toMatch(/proxy-authenticate|the proxy's own words/i);
      expect(reached).toEqual([]);
    },
  );
});

describe("the address check, where names are resolved at the proxy", () => {
  it.each<[string, RouteOptions]>([
    ["a private literal", { host: "10.9.8.7" }],
    ["the metadata service", { host: "169.254.169.254" }],
    ["loopback in IPv6", { host: "::1" }],
  ])("refuses %s", async (_what, options) => {
    const { egress, proxy } = await serve({ routes: [options] });
    const host = options.host.includes(":") ? `[${options.host}]` : options.host;
    for (const scheme of ["https", "http"])
      expect(await codeFor(egress, `${scheme}://${host}/`)).toBe("address-refused");
    expect(proxy.asked).toEqual([]);
  });

  it("allows a literal that the route allows", async () => {
    const { egress } = await serve({ routes: [{ host: "10.9.8.7", allowAddresses: ["10.9.8.7/32"] }] });
    expect((await curl(egress, "https://10.9.8.7/")).stdout).toBe("reached /");
  });

  it("refuses a name that is private here, and asks for it once", async () => {
    const { egress, proxy, resolved } = await serve({ resolve: () => Promise.resolve(["192.168.7.7"]) });
    for (const scheme of ["https", "http"])
      expect(await codeFor(egress, `${scheme}://${HOST}/`)).toBe("address-refused");
    expect(proxy.asked).toEqual([]);
    expect(resolved).toEqual([HOST, HOST]);
  });

  it("passes a name that is public here, that is unknown, or that takes long to ask for", async () => {
    for (const resolve of [
      () => Promise.resolve(["93.184.215.14"]),
      () => Promise.reject(new Error("no")),
      () => new Promise<never>(() => {}),
    ]) {
      const { egress } = await serve({ resolve });
      expect((await curl(egress, `https://${HOST}/`)).stdout).toBe("reached /");
    }
  });

  it("asks nobody about a host that has no route", async () => {
    const { egress, proxy, resolved } = await serve();
    expect(await codeFor(egress, "http://evil.test/")).toBe("host-not-allowed");
    expect(proxy.asked).toEqual([]);
    expect(resolved).toEqual([]);
  });
});

describe("a proxy that fails", () => {
  it("by not being there is told", async () => {
    const { egress } = await serve({ proxy: { port: 1 } });
    for (const scheme of ["https", "http"])
      expect(await codeFor(egress, `${scheme}://${HOST}/`)).toBe("upstream-unreachable");
  });

  it("by not knowing the host is told", async () => {
    const { egress } = await serve({ double: { names: {} } });
    expect(await codeFor(egress, `https://${HOST}/`)).toBe("upstream-proxy");
  });

  it.each<[string, (write: (bytes: string) => void, end: () => void) => void]>([
    ["nonsense", (write) => write("nonsense\r\n\r\n")],
    ["nothing", () => {}],
    [
      "half an answer",
      (write, end) => {
        write("HTTP/1.1 200 O");
        end();
      },
    ],
    ["an endless head", (write) => write(`HTTP/1.1 200 OK\r\nX: ${"y".repeat(100_000)}`)],
  ])("by saying %s is told", async (_what, say) => {
    const rude = await tcpUpstream((socket) => {
      socket.once("data", () =>
        say(
          (bytes) => socket.write(bytes),
          () => socket.end(),
        ),
      );
    });
    closing.push(() => rude.close());
    const { egress } = await serve({ proxy: { port: rude.port } });
    expect(await codeFor(egress, `https://${HOST}/`)).toBe("upstream-proxy");
  });

  it("by opening TLS is told, unless its root is trusted", async () => {
    const other = await makeCertificateAuthority("the company's");
    const opener = await httpsUpstream(await other.issue([HOST]), (_, response) => response.end("opened"));
    closing.push(() => opener.close());
    const double = { names: { [`${HOST}:443`]: opener.port } };
    const { egress } = await serve({ double });
    expect(await codeFor(egress, `https://${HOST}/`)).toBe("upstream-tls");
    const trusting = await serve({ double, upstreamCa: [root.certificate, other.certificate] });
    expect((await curl(trusting.egress, `https://${HOST}/`)).stdout).toBe("opened");
  });
});

/** As a bottle's own pipelock is told of: the double tunnels, and opens nothing. */
describe("through a proxy that is to open TLS itself", () => {
  const opens = async (sealed: readonly string[] = []) => ({
    opens: { authority: (await makeCertificateAuthority("pipelock's")).certificate, sealed: [...sealed] },
  });

  it("nobody but its own authority is believed, though a real certificate comes through", async () => {
    const { egress, proxy } = await serve({ proxy: await opens() });
    expect(await codeFor(egress, `https://${HOST}/`)).toBe("upstream-tls");
    expect(proxy.asked.map(({ line }) => line)).toEqual([`CONNECT ${HOST}:443`]);
    expect(reached).toEqual([]);
  });

  it("a host that it leaves closed proves itself as ever", async () => {
    const { egress } = await serve({ proxy: await opens([HOST]) });
    expect((await curl(egress, "--compressed", `https://${HOST}/a`)).stdout).toBe("reached /a");
    expect(reached[0]?.headers).toMatch(/accept-encoding\n.*gzip/i);
  });

  it("a policy with a route that leads around it is refused whole", async () => {
    const { egress } = await serve({ proxy: await opens([HOST]) });
    const policy = policyOf({
      routes: [route({ host: HOST, connectTo: { host: "127.0.0.1", port: secure.port } })],
      upstreamProxy: { host: "127.0.0.1", port: 1, tls: false, ...(await opens()) },
    });
    await expect(async () => egress.reload(policy)).rejects.toThrow("connects to the host itself");
  });

  it("an upstream's own words are not taken for a block of a proxy's that blocks nothing", async () => {
    const { egress } = await serve();
    secure.server.removeAllListeners("request").on("request", (_request, response) => {
      response.writeHead(403, { "x-pipelock-block-reason": "dlp_match" }).end("forged");
    });
    const { stdout } = await curl(egress, `https://${HOST}/`);
    expect(stdout).toBe("forged");
  });
});
