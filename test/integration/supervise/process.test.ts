/** Supervise as the process it is in a bundle: configured over stdin, its listener and first connection handed over. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { closesAfterEach } from "../../support/closing.ts";
import {
  callTool,
  NO_POLICY,
  rpc,
  type SuperviseProcess,
  startSuperviseProcess,
  superviseConfig,
  testKeeper,
  toldIn,
} from "../../support/supervise.ts";

const closing = closesAfterEach();

function launch(config: unknown, onAsk?: (data: unknown) => unknown): SuperviseProcess {
  const process = startSuperviseProcess(onAsk);
  closing.push(() => process.kill());
  process.send({ type: "config", config });
  return process;
}

describe("the supervise process", () => {
  it("asks its keeper over stdout, and goes on with the answer from stdin", async () => {
    const keeper = testKeeper({ routes: [], repos: [], findings: [], gitExceptions: [] }, (policy) =>
      supervise.send({ type: "reload", policy }),
    );
    const supervise = launch(superviseConfig(), (data) => keeper.onAsk(data));
    const url = `http://${await supervise.ready()}/mcp`;
    const told = await callTool(url, "request_access", { host: "a.test" });
    const ticket = String(told.data["ticket"]);
    const waiting = callTool(url, "check_request", { ticket });
    keeper.approve(ticket);
    expect((await waiting).data).toMatchObject({ status: "approved" });
  });

  it("answers with no when its keeper never does", async () => {
    const supervise = launch(superviseConfig());
    const url = `http://${await supervise.ready()}/mcp`;
    const told = await callTool(url, "request_access", { host: "a.test" });
    expect(told).toMatchObject({ isError: true, next: expect.stringMatching(/keeper did not answer/) });
  });

  it("says what is wrong with its configuration, without quoting it", async () => {
    const bearer = randomBytes(16).toString("hex");
    const supervise = launch({ ...superviseConfig({ bearer }), bottle: 7, more: 1 });
    expect(await supervise.ended).toBe(1);
    expect(supervise.messages).toMatchObject([
      { type: "log", level: "error", text: expect.stringMatching(/bottle/) },
    ]);
    expect(JSON.stringify(supervise.messages)).not.toContain(bearer);
  });

  it("keeps the policy that it has when a new one is none", async () => {
    const frozen = { ...NO_POLICY, frozen: true };
    const supervise = launch(superviseConfig({ policy: frozen }));
    const url = `http://${await supervise.ready()}/mcp`;
    supervise.send({ type: "reload", policy: { ...NO_POLICY, requests: [{ ticket: "x" }] } });
    await until(() => supervise.messages.some((message) => message.type === "reloaded" && message.error));
    expect((await callTool(url, "list_capabilities")).next).toMatch(/frozen/);
    supervise.send({ type: "reload", policy: NO_POLICY });
    await until(() => supervise.messages.some((message) => message.type === "reloaded" && !message.error));
    expect((await callTool(url, "list_capabilities")).next).not.toMatch(/frozen/);
  });

  it("ends with its stdin, and whoever waits is not left hanging", async () => {
    const keeper = testKeeper({ routes: [], repos: [], findings: [], gitExceptions: [] }, () => {});
    const supervise = launch(superviseConfig(), (data) => keeper.onAsk(data));
    const url = `http://${await supervise.ready()}/mcp`;
    const { data } = await callTool(url, "request_access", { host: "a.test" });
    const waiting = callTool(url, "check_request", { ticket: data["ticket"] }).catch(() => "refused");
    supervise.child.stdin?.end();
    expect(await supervise.ended).toBe(0);
    await waiting;
  });

  it("answers those who wait when it is told to end", async () => {
    const keeper = testKeeper({ routes: [], repos: [], findings: [], gitExceptions: [] }, () => {});
    const supervise = launch(superviseConfig(), (data) => keeper.onAsk(data));
    const url = `http://${await supervise.ready()}/mcp`;
    const { data } = await callTool(url, "request_access", { host: "a.test" });
    const waiting = callTool(url, "check_request", { ticket: data["ticket"] });
    // It waits once it is asked the same and more by another call.
    await callTool(url, "list_capabilities");
    supervise.child.kill("SIGTERM");
    expect((await waiting).data["status"]).toBe("pending");
    expect(await supervise.ended).toBe(0);
  });

  it("listens on a Unix socket", async () => {
    const folder = await mkdtemp(join(tmpdir(), "supervise-"));
    closing.push(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, "s");
    const supervise = launch(superviseConfig({ listen: { kind: "unix", path } }));
    expect(await supervise.ready()).toBe(path);
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list", params: {} });
    const text = await new Promise<string>((resolve, reject) => {
      const headers = {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        host: "localhost",
      };
      const request = httpRequest({ socketPath: path, path: "/mcp", method: "POST", headers }, (response) => {
        let got = "";
        response.on("data", (chunk) => {
          got += chunk;
        });
        response.on("end", () => resolve(got));
      });
      request.on("error", reject);
      request.end(body);
    });
    expect(text).toContain("request_access");
  });

  it("is started by the first connection, which waits for it and loses nothing", async () => {
    const { holder, url, first } = await holding();
    closing.push(() => holder.close());
    // The guest calls while there is no process yet.
    const asked = rpc(url, "tools/call", { name: "list_capabilities", arguments: {} });
    const socket = await first;
    const supervise = launch(superviseConfig({ listen: { kind: "inherited" } }));
    await new Promise<void>((resolve) => supervise.child.once("message", () => resolve()));
    supervise.handOver(holder);
    supervise.handOverConnection(socket);
    await supervise.ready();
    holder.close();
    expect(toldIn(await (await asked).text()).next).toMatch(/What is not listed is refused/);
    // From now on it accepts by itself.
    expect((await callTool(url, "list_capabilities")).isError).toBe(false);
  });

  it("leaves the guest refused, and not waiting, once it has died", async () => {
    const { holder, url, first } = await holding();
    const asked = rpc(url, "tools/list", {});
    const supervise = launch(superviseConfig({ listen: { kind: "inherited" } }));
    const socket = await first;
    await new Promise<void>((resolve) => supervise.child.once("message", () => resolve()));
    supervise.handOver(holder);
    supervise.handOverConnection(socket);
    await supervise.ready();
    holder.close();
    await (await asked).text();
    await supervise.kill();
    await expect(callTool(url, "list_capabilities")).rejects.toThrow();
  });
});

/** What a keeper holds until supervise is needed: a listener, and the connections that came, unread. */
async function holding(): Promise<{ holder: Server; url: string; first: Promise<Socket> }> {
  const holder = createServer({ pauseOnConnect: true });
  const first = new Promise<Socket>((resolve) => holder.once("connection", resolve));
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const address = holder.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { holder, url: `http://127.0.0.1:${address.port}/mcp`, first };
}

async function until(look: () => unknown): Promise<void> {
  for (let left = 400; left > 0; left--) {
    if (look()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("it did not come to pass");
}
