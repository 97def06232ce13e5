/** Routes that hang on a grant: there while it holds, counted, and cut with it, with real clients and TLS. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../../demo/upstreams/certificate-authority.ts";
import type { EgressPolicy, RouteGrant } from "../../../src/contract/sidecar.ts";
import { closesAfterEach } from "../../support/closing.ts";
import {
  curl,
  openTunnel,
  policyOf,
  type RouteOptions,
  route,
  type TestEgress,
  testEgress,
  until,
} from "../../support/egress.ts";
import { httpsUpstream, type Upstream } from "../../support/tls-upstream.ts";

const HOST = "api.example.test";

let root: CertificateAuthority;
let upstream: Upstream;
let seen: string[];
const closing = closesAfterEach();

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
});

function policy(...routes: readonly Partial<RouteOptions>[]): EgressPolicy {
  return policyOf({
    routes: routes.map((each) =>
      route({ host: HOST, connectTo: { host: "127.0.0.1", port: upstream.port }, ...each }),
    ),
    upstreamCa: [root.certificate],
  });
}

const under = (path: string) => ({ matches: [{ paths: [{ type: "prefix" as const, value: path }] }] });
const OWN = under("/own");
const given = (grant: RouteGrant) => ({ ...under("/given"), grant });

async function serve(...routes: readonly Partial<RouteOptions>[]): Promise<TestEgress> {
  seen = [];
  const names = [HOST, "other.example.test"] as const;
  upstream = await httpsUpstream(await root.issue(names), (request, response) => {
    seen.push(request.url ?? "");
    if (request.url?.endsWith("/stream")) response.write("begin ");
    else response.end("ok");
  });
  const egress = await testEgress(policy(...routes));
  closing.push(
    () => upstream.close(),
    () => egress.stop(),
  );
  return egress;
}

/** What curl got: the body, or the code of the denial. */
async function ask(egress: TestEgress, path: string): Promise<string> {
  const { stdout } = await curl(egress, `https://${HOST}${path}`);
  return /"code":"([^"]+)"/.exec(stdout)?.[1] ?? stdout;
}

/** An answer that does not end, on a connection of its own. */
async function stream(egress: TestEgress, path: string): Promise<{ readonly ended: () => boolean }> {
  const socket = await openTunnel(egress, HOST);
  closing.push(() => socket.destroy());
  let text = "";
  let ended = false;
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    ended = true;
  });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  await until(() => text.includes("begin"));
  return { ended: () => ended };
}

describe("a route that hangs on a grant", () => {
  it("is used as often as was given, each use on the log before it left, and the bottle's own routes are as before", async () => {
    const egress = await serve(OWN, given({ id: "g1", uses: { most: 2, before: 0 } }));
    expect(await ask(egress, "/given/1")).toBe("ok");
    expect(await ask(egress, "/given/2")).toBe("ok");
    expect(await ask(egress, "/given/3")).toBe("path-not-allowed");
    expect(await ask(egress, "/own/1")).toBe("ok");
    expect(seen).toEqual(["/given/1", "/given/2", "/own/1"]);
    const uses = egress.events("egress.admitted").filter(({ grant }) => grant === "g1");
    expect(uses.map(({ path }) => path)).toEqual(["/given/1", "/given/2"]);
    const told = (await egress.waitFor("egress.allowed", 3)).map(({ grant }) => grant);
    expect(told).toEqual(["g1", "g1", undefined]);
  });

  it("is not there any more when its time is over", async () => {
    const egress = await serve(OWN, given({ id: "g1", until: Date.now() - 1 }));
    expect(await ask(egress, "/given/1")).toBe("path-not-allowed");
    expect(await ask(egress, "/own/1")).toBe("ok");
    await egress.reload(policy(OWN, given({ id: "g2", until: Date.now() + 60_000 })));
    expect(await ask(egress, "/given/1")).toBe("ok");
  });

  it("ends what is under way on it when it is taken back, and nothing else", async () => {
    const egress = await serve(OWN, given({ id: "g1" }), { ...under("/more"), grant: { id: "g2" } });
    const cut = await stream(egress, "/given/stream");
    const others = [await stream(egress, "/own/stream"), await stream(egress, "/more/stream")];
    await egress.reload(policy(OWN, { ...under("/more"), grant: { id: "g2" } }));
    await until(cut.ended);
    expect(others.map(({ ended }) => ended())).toEqual([false, false]);
    expect(egress.events("egress.denied")).toMatchObject([
      { code: "grant-ended", target: `GET https://${HOST}/given/stream` },
    ]);
    await until(() => upstream.open() <= 2);
  });

  it("ends what is under way on it when its time is over", async () => {
    const egress = await serve(OWN);
    await egress.reload(policy(OWN, given({ id: "g1", until: Date.now() + 1_500 })));
    const cut = await stream(egress, "/given/stream");
    await until(cut.ended);
    expect(await ask(egress, "/given/1")).toBe("path-not-allowed");
  });

  it("ends with its bytes", async () => {
    const egress = await serve(OWN, given({ id: "g1", bytes: { most: 3, before: 0 } }));
    expect(await ask(egress, "/given/1")).toBe("ok");
    await egress.waitFor("egress.allowed");
    expect(await ask(egress, "/given/2")).not.toBe("ok");
    expect(await ask(egress, "/given/3")).toBe("path-not-allowed");
    expect(seen).not.toContain("/given/3");
  });

  it("is refused with a policy that would not look into it", async () => {
    const egress = await serve(OWN);
    const sealed = { host: "other.example.test", tls: "passthrough" as const, grant: { id: "g1" } };
    await expect(egress.reload(policy(OWN, sealed))).rejects.toThrow("grant");
  });
});
