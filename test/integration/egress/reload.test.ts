import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../../demo/upstreams/certificate-authority.ts";
import type { EgressPolicy } from "../../../src/contract/sidecar.ts";
import { closesAfterEach } from "../../support/closing.ts";
import {
  openTunnel,
  policyOf,
  readHead,
  route,
  type TestEgress,
  testEgress,
  until,
} from "../../support/egress.ts";
import { httpsUpstream, type Upstream } from "../../support/tls-upstream.ts";

const HOST = "api.example.test";

let root: CertificateAuthority;
let upstream: Upstream;
let egress: TestEgress;
let push: (text: string) => void;
const closing = closesAfterEach();

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
});

function policy(path: string, token?: string): EgressPolicy {
  return policyOf({
    routes: [
      route({
        host: HOST,
        connectTo: { host: "127.0.0.1", port: upstream.port },
        matches: [{ paths: [{ type: "prefix", value: path }] }],
        inject: token === undefined ? [] : [{ header: "authorization", value: token }],
      }),
    ],
    upstreamCa: [root.certificate],
  });
}

async function serve(): Promise<void> {
  upstream = await httpsUpstream(await root.issue([HOST]), (request, response) => {
    if (request.url === "/a/stream") {
      response.write("begin ");
      push = (text) => void response.write(text);
    } else {
      response.end(`token ${request.headers.authorization ?? "none"};`);
    }
  });
  egress = await testEgress(policy("/a", "one"));
  closing.push(
    () => upstream.close(),
    () => egress.stop(),
  );
}

/** A keep-alive connection on which one request after the other is sent. */
async function connection() {
  const socket = await openTunnel(egress, HOST);
  closing.push(() => socket.destroy());
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  return {
    socket,
    async ask(path: string, until_: string): Promise<void> {
      text = "";
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
      await until(() => text.includes(until_));
    },
    seen: () => text,
  };
}

describe("a reload", () => {
  it("holds from the next request on, also on a connection that is open", async () => {
    await serve();
    const client = await connection();
    await client.ask("/a/x", "token one");
    await client.ask("/b/x", "path-not-allowed");
    await egress.reload(policy("/b", "two"));
    await client.ask("/b/x", "token two");
    await client.ask("/a/x", "path-not-allowed");
    await egress.reload(policyOf({}));
    await client.ask("/b/x", "host-not-allowed");
    expect(client.socket.destroyed).toBe(false);
  });

  it("does not disturb an answer that is on its way", async () => {
    await serve();
    const socket = await openTunnel(egress, HOST);
    closing.push(() => socket.destroy());
    socket.write(`GET /a/stream HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await readHead(socket);
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    socket.resume();
    await until(() => text.includes("begin"));
    await egress.reload(policyOf({}));
    push("middle ");
    await until(() => text.includes("middle"));
  });

  it("uses no upstream connection that was opened under the old policy", async () => {
    await serve();
    const client = await connection();
    await client.ask("/a/1", "token one");
    await client.ask("/a/2", "token one");
    expect(upstream.accepted()).toBe(1);
    await egress.reload(policy("/a", "one"));
    await until(() => upstream.open() === 0);
    await client.ask("/a/3", "token one");
    expect(upstream.accepted()).toBe(2);
  });

  it("that freezes ends what is under way, and nothing leaves until the one that thaws", async () => {
    await serve();
    const client = await connection();
    await client.ask("/a/stream", "begin");
    const ended = new Promise((resolve) => client.socket.once("close", resolve));
    await egress.reload({ ...policy("/a", "one"), frozen: true });
    await ended;
    const accepted = upstream.accepted();
    const refused = await connection();
    await refused.ask("/a/x", '"code":"frozen"');
    await refused.ask("/b/x", '"code":"frozen"');
    expect(upstream.accepted()).toBe(accepted);
    const told = egress.events("egress.denied");
    expect(told.map(({ target }) => target)).toEqual(
      ["stream", "x"].map((name) => `GET https://${HOST}/a/${name}`).concat(`GET https://${HOST}/b/x`),
    );
    expect(new Set(told.map(({ code }) => code))).toEqual(new Set(["frozen"]));
    await egress.reload(policy("/a", "one"));
    await (await connection()).ask("/a/x", "token one");
  });

  it("that is bad is refused whole", async () => {
    await serve();
    const client = await connection();
    const broken = policy("/b", "two");
    const bad: unknown[] = [
      undefined,
      {},
      { ...broken, routes: [...broken.routes, route({ host: "bad host" })] },
      { ...broken, extra: true },
      { ...broken, upstreamCa: ["nonsense"] },
      { ...broken, routes: [{ ...broken.routes[0], tls: "maybe" }] },
    ];
    for (const one of bad) await expect(egress.reload(one)).rejects.toThrow();
    await client.ask("/a/x", "token one");
    await client.ask("/b/x", "path-not-allowed");
  });
});
