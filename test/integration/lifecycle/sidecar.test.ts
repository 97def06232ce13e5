import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keepSidecar, type SidecarNotice } from "../../../src/bundle/bundle.ts";
import { mintAuthority } from "../../../src/bundle/certificate-authority.ts";
import { egressConfig } from "../../../src/bundle/egress-settings.ts";
import { startSidecar } from "../../../src/bundle/sidecar-process.ts";
import type { Endpoint, ListenerRole } from "../../../src/contract/backend.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { eventually, isAlive } from "../../support/bottle-cli.ts";
import { realPid } from "../../support/pid-of.ts";

const POLICY = { routes: [], known: [], rules: [], upstreamCa: [] };
let inForce: unknown;
let folder: string;
let scope: Scope;
/** Chosen by the first listener. */
let port = 0;
const notices: SidecarNotice[] = [];
const opened: Server[] = [];
beforeEach(() => {
  folder = mkdtempSync("/tmp/bbs-");
  scope = createScope();
  port = 0;
  inForce = POLICY;
  notices.length = 0;
  opened.length = 0;
});
afterEach(async () => {
  await scope.close();
  // Whatever came of it, nobody holds a listener on: it would keep the port, and a guest waiting.
  expect(opened.filter(({ listening }) => listening)).toEqual([]);
  rmSync(folder, { recursive: true });
});

/** A listener anew at each start, on one port, as a backend hands them out. */
const endpoint = (): Endpoint => ({
  listen: {
    kind: "inherited",
    roles: ["main"],
    open: async () => {
      const server = createServer((socket) => socket.destroy());
      opened.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, "127.0.0.1", resolve);
      });
      port = (server.address() as AddressInfo).port;
      return new Map([["main" as const, server]]);
    },
  },
  guestUrl: "http://127.0.0.1:9099",
});

async function validConfig(at: Endpoint): Promise<unknown> {
  return egressConfig({
    id: "x-00000",
    authority: await mintAuthority("x-00000"),
    endpoint: at,
    bearer: undefined,
    policy: POLICY,
    findingsKey: "00".repeat(32),
  });
}

async function keep(config?: unknown) {
  const place = endpoint();
  const valid = await validConfig(place);
  return keepSidecar(
    {
      name: "egress",
      id: "x-00000",
      place: { kind: "jail", rootDir: join(folder, "root") },
      endpoint: Promise.resolve(place),
      policy: () => inForce,
      config: async () => config ?? valid,
      onNotice: async (notice) => void notices.push(notice),
    },
    scope,
  );
}

/** The status with which egress answers a request for a host that is not allowed. */
function ask(): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const options = { port, path: "http://denied.test/", headers: { host: "denied.test" }, agent: false };
    get({ host: "127.0.0.1", ...options }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).once("error", reject);
  });
}

describe("a kept sidecar", () => {
  it("serves, is told of, and is gone with its scope", async () => {
    const sidecar = await keep();
    expect(await ask()).toBe(403);
    const pid = sidecar.pid();
    expect(isAlive(pid)).toBe(true);
    await eventually("its report", () => notices[0] !== undefined || undefined);
    expect(notices).toMatchObject([{ kind: "message", message: { type: "event", event: "egress.denied" } }]);
    await scope.close();
    expect(isAlive(pid)).toBe(false);
    expect(notices.some(({ kind }) => kind === "died")).toBe(false);
  });

  it("is started again as often as it dies, with a pause that grows, and serves again", async () => {
    const sidecar = await keep();
    for (let death = 1; death <= 2; death++) {
      process.kill(realPid(sidecar.pid()), "SIGKILL");
      await eventually("its return", () => (sidecar.restarts() === death ? true : undefined));
      expect(await ask()).toBe(403);
    }
    const told = notices.filter(({ kind }) => kind !== "message");
    expect(told.map(({ kind }) => kind)).toEqual(["died", "restarted", "died", "restarted"]);
    expect(told).toMatchObject([{ restartInMs: 100 }, {}, { restartInMs: 500 }, {}]);
  });

  it("is ended when it will not have what is in force, and serves by nothing older", async () => {
    const sidecar = await keep();
    expect(await ask()).toBe(403);
    const pid = sidecar.pid();
    inForce = { routes: "none" };
    await expect(sidecar.refresh()).rejects.toThrow("routes");
    expect(isAlive(pid)).toBe(false);
    inForce = POLICY;
    await eventually("its return", () => (sidecar.restarts() === 1 ? true : undefined));
    await sidecar.refresh();
    expect(await ask()).toBe(403);
  });

  it("is ended when it does not say whether it has it", async () => {
    const sidecar = await keep();
    const pid = sidecar.pid();
    process.kill(realPid(pid), "SIGSTOP");
    await expect(sidecar.refresh()).rejects.toThrow("no answer");
    expect(isAlive(pid)).toBe(false);
  });

  it("stays down once it was stopped, also in the pause before a start", async () => {
    const sidecar = await keep();
    process.kill(realPid(sidecar.pid()), "SIGKILL");
    await eventually("its death", () => (notices.some(({ kind }) => kind === "died") ? true : undefined));
    await sidecar.stop();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(sidecar.pid()).toBe(0);
    expect(sidecar.restarts()).toBe(0);
    await expect(ask()).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("regression: is given up when it dies between two listeners that it is handed", async () => {
    const children = `/proc/${process.pid}/task/${process.pid}/children`;
    const before = readFileSync(children, "utf8").split(" ");
    const listener = async (): Promise<Server> => {
      const { listen } = endpoint();
      if (listen.kind !== "inherited") throw new Error("not inherited");
      port = 0;
      const server = (await listen.open()).get("main");
      if (server === undefined) throw new Error("no listener");
      return server;
    };
    const [main, tls] = [await listener(), await listener()];
    /** The second is asked for once the first was sent, and has not been taken yet. */
    class Deadly extends Map<ListenerRole, Server> {
      override *[Symbol.iterator](): MapIterator<[ListenerRole, Server]> {
        const born = readFileSync(children, "utf8")
          .split(" ")
          .filter((pid) => !before.includes(pid));
        const pid = realPid(Number(born[0]));
        process.kill(pid, "SIGSTOP");
        yield ["main", main];
        setTimeout(() => process.kill(pid, "SIGKILL"), 100);
        yield ["tls", tls];
      }
    }
    const starting = startSidecar({
      name: "egress",
      id: "x-00000",
      place: { kind: "plain" },
      config: validConfig(endpoint()),
      listeners: Promise.resolve(
        new Deadly([
          ["main", main],
          ["tls", tls],
        ]),
      ),
      onMessage: () => {},
    });
    await expect(starting).rejects.toThrow("egress ended (SIGKILL)");
  });

  it("is not started with a configuration that it does not take; the error is in its words", async () => {
    await expect(keep({ secret: "hush" })).rejects.toThrow(/^egress did not start: bottle: /);
    await expect(ask()).rejects.toMatchObject({ code: "ECONNREFUSED" });
    expect(JSON.stringify(notices)).not.toContain("hush");
  });
});
