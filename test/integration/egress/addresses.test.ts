import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../../demo/upstreams/certificate-authority.ts";
import type { Resolve } from "../../../src/sidecars/egress/address/resolve.ts";
import type { EgressOptions } from "../../../src/sidecars/egress/egress.ts";
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
import { httpsUpstream, type Upstream } from "../../support/tls-upstream.ts";

const HOST = "api.example.test";

let root: CertificateAuthority;
let upstream: Upstream;
const closing = closesAfterEach();

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
});

async function serve(
  options: Partial<RouteOptions>,
  resolve: Resolve,
  limits: EgressOptions["limits"] = {},
): Promise<TestEgress> {
  upstream = await httpsUpstream(await root.issue([HOST]), (request, response) => {
    response.end(`reached ${request.socket.localAddress}`);
  });
  const egress = await testEgress(
    { routes: [route({ host: HOST, ...options })], upstreamCa: [root.certificate] },
    { resolve, limits },
  );
  closing.push(
    () => upstream.close(),
    () => egress.stop(),
  );
  return egress;
}

const to = (...addresses: string[]): Resolve => {
  return () => Promise.resolve(addresses);
};

async function codeOf(egress: TestEgress): Promise<string> {
  return denialIn((await curl(egress, `https://${HOST}/`)).stdout).code;
}

/** A name leads to the port that a test server happens to have. */
const viaName = () => ({ host: "named.test", port: upstream.port });

describe("a host that resolves to", () => {
  it.each([
    ["loopback", ["127.0.0.1"]],
    ["a private network", ["10.1.2.3"]],
    ["the metadata service", ["169.254.169.254"]],
    ["the metadata service, mapped", ["::ffff:169.254.169.254"]],
    ["the metadata service through NAT64", ["64:ff9b::a9fe:a9fe"]],
    ["loopback through 6to4", ["2002:7f00:1::1"]],
    ["a link-local address with a zone", ["fe80::1%lo"]],
    ["one public and one private address", ["1.1.1.1", "192.168.0.1"]],
    ["a public one after many", ["10.0.0.1", "1.1.1.1"]],
    ["what is no address", ["nonsense"]],
  ])("%s is refused", async (_what, addresses) => {
    const egress = await serve({}, to(...addresses));
    expect(await codeOf(egress)).toBe("address-refused");
    expect((await egress.waitFor("egress.denied"))[0]).toMatchObject({
      code: "address-refused",
      rule: expect.stringContaining("allow_addresses") as string,
    });
  });

  it.each([
    ["nothing", to()],
    ["an error", () => Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" }))],
    ["no answer in time", () => new Promise<never>(() => {})],
  ])("%s is told", async (_what, resolve) => {
    const egress = await serve({}, resolve, { resolveMs: 100 });
    expect(await codeOf(egress)).toBe("upstream-unresolvable");
  });

  it("a private address is reached when the route allows just that", async () => {
    const egress = await serve({ allowAddresses: ["127.0.0.0/8"] }, to("127.0.0.1"));
    await egress.reload(
      policyOf({
        routes: [route({ host: HOST, allowAddresses: ["127.0.0.0/8"], connectTo: viaName() })],
        upstreamCa: [root.certificate],
      }),
    );
    expect((await curl(egress, `https://${HOST}/`)).stdout).toBe("reached 127.0.0.1");
    await egress.reload(
      policyOf({
        routes: [route({ host: HOST, allowAddresses: ["127.0.0.2/32"], connectTo: viaName() })],
        upstreamCa: [root.certificate],
      }),
    );
    expect(await codeOf(egress)).toBe("address-refused");
  });
});

describe("the system's resolver", () => {
  it("is what names are resolved by: localhost is refused", async () => {
    const egress = await testEgress({ routes: [route({ host: "localhost" })] });
    closing.push(() => egress.stop());
    const { stdout } = await curl(egress, "--noproxy", "none", "https://localhost/");
    expect(denialIn(stdout).code).toBe("address-refused");
  });
});

describe("a connection", () => {
  it("goes to the address that was checked, and the name is not resolved again", async () => {
    let asked = 0;
    // What a rebinding name does: fit when it is checked, another address right after.
    const rebinding: Resolve = () => Promise.resolve([asked++ === 0 ? "127.0.0.1" : "169.254.169.254"]);
    const egress = await serve({}, rebinding);
    await egress.reload(
      policyOf({
        routes: [route({ host: HOST, allowAddresses: ["127.0.0.1/32"], connectTo: viaName() })],
        upstreamCa: [root.certificate],
      }),
    );
    for (let i = 0; i < 3; i++)
      expect((await curl(egress, `https://${HOST}/`)).stdout).toBe("reached 127.0.0.1");
    expect(asked).toBe(1);
  });

  it("is tried with each of the addresses until one answers", async () => {
    const egress = await serve({}, to("127.9.9.9", "127.0.0.1"));
    const gone = upstream.port;
    expect(gone).toBeGreaterThan(0);
    await egress.reload(
      policyOf({
        routes: [route({ host: HOST, allowAddresses: ["127.0.0.0/8"], connectTo: viaName() })],
        upstreamCa: [root.certificate],
      }),
    );
    // Nobody listens on the first: the server is bound to 127.0.0.1 alone.
    expect((await curl(egress, `https://${HOST}/`)).stdout).toBe("reached 127.0.0.1");
  });

  it("to an IP literal needs a route that names it, and permission for it", async () => {
    const egress = await testEgress({ routes: [route({ host: "127.0.0.1" }), route({ host: "::1" })] });
    closing.push(() => egress.stop());
    for (const host of ["127.0.0.1", "[::1]"]) {
      const { stdout } = await curl(egress, "--noproxy", "none", `https://${host}/`);
      expect(denialIn(stdout).code).toBe("address-refused");
    }
  });
});
