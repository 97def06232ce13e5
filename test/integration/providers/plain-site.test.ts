import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect } from "node:http2";
import { get } from "node:https";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HELLO, startPlainSite, type Upstream } from "../../doubles/upstreams.ts";
import { makeTestCa, type TestCa } from "../../support/test-ca.ts";

let ca: TestCa;
let site: Upstream;

beforeAll(async () => {
  ca = await makeTestCa();
  site = await startPlainSite({ tls: await ca.issue(["site.test", "127.0.0.1"]) });
});

afterAll(async () => {
  await site.close();
  await ca.remove();
});

async function fetchPage(path: string): Promise<{ status: number | undefined; body: string }> {
  const call = get({ host: "127.0.0.1", port: site.port, path, ca: ca.certificate });
  const [response] = (await once(call, "response")) as [IncomingMessage];
  let body = "";
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode, body };
}

describe("the plain site", () => {
  it("says hello, also by its address", async () => {
    expect(await fetchPage("/")).toEqual({ status: 200, body: HELLO });
  });

  it("has no other page", async () => {
    expect(await fetchPage("/nothing")).toMatchObject({ status: 404 });
  });

  it("sends its events one by one", async () => {
    const { body } = await fetchPage("/events?count=3&every=5");
    expect(body.split("\n\n").filter(Boolean)).toEqual([
      "id: 0\ndata: event 0",
      "id: 1\ndata: event 1",
      "id: 2\ndata: event 2",
    ]);
  });

  it("stops sending events to a client that left", async () => {
    const call = get({
      host: "127.0.0.1",
      port: site.port,
      path: "/events?count=1000&every=5",
      ca: ca.certificate,
    });
    const [response] = (await once(call, "response")) as [IncomingMessage];
    await once(response, "data");
    response.destroy();
    expect(await fetchPage("/")).toMatchObject({ status: 200 });
  });

  it("echoes a request over HTTP/2, with its body", async () => {
    const session = connect(`https://127.0.0.1:${site.port}`, {
      ca: ca.certificate,
      servername: "site.test",
    });
    const stream = session.request({
      ":method": "PUT",
      ":path": "/echo?x=1",
      ":authority": "site.test",
      "x-marker": "two",
    });
    stream.end("a body");
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    session.close();
    expect(JSON.parse(text)).toMatchObject({
      method: "PUT",
      target: "/echo?x=1",
      httpVersion: "2.0",
      headers: { host: "site.test", "x-marker": "two" },
      body: "a body",
    });
  });
});
