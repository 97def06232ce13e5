/**
 * Two thousand connections that want nothing good, held open and opened again when they are closed, at an egress that takes
 * half as many: an honest client beside them is served, and when they are gone nothing of them is left.
 */
import { fork } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { Agent, request as httpRequest } from "node:http";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { makeCertificateAuthority } from "../../../demo/upstreams/certificate-authority.ts";
import { mintAuthority } from "../../../src/bundle/certificate-authority.ts";
import { closesAfterEach } from "../../support/closing.ts";
import { type Doors, HOST, PLAIN } from "../../support/crowd.ts";
import { config, curl, openTunnel, route, until } from "../../support/egress.ts";
import { startEgressProcess } from "../../support/egress-process.ts";
import { httpsUpstream, httpUpstream } from "../../support/tls-upstream.ts";

const CROWD = 2_000;
/** Requests of the honest client. */
const REQUESTS = 20;
const ANY_PORT = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;

const closing = closesAfterEach();

const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

function megabytesOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1]) / 1024;
}

describe.skipIf(process.platform !== "linux")("a crowd of two thousand", () => {
  it("does not stop an honest client, and leaves nothing behind", { timeout: 240_000 }, async () => {
    const root = await makeCertificateAuthority("test root");
    const ca = await mintAuthority("bottle test-00000");
    const own = await root.issue([HOST]);
    const long = Buffer.alloc(4 * 1024 * 1024, "x");
    const answer: Parameters<typeof httpUpstream>[0] = (request, response) => {
      request.on("error", () => {});
      if (request.url === "/hang") return;
      request.resume();
      if (request.url === "/long") response.setHeader("content-type", "application/octet-stream");
      response.end(request.url === "/long" ? long : "fine");
    };
    const [secure, plain] = await Promise.all([httpsUpstream(own, answer), httpUpstream(answer)]);
    const egress = startEgressProcess();
    closing.push(async () => {
      egress.child.kill("SIGKILL");
      await egress.ended;
      await Promise.all([secure.close(), plain.close()]);
    });
    const at = (port: number) => ({ connectTo: { host: "127.0.0.1", port } });
    const policy = {
      routes: [route({ host: HOST, ...at(secure.port) }), route({ host: PLAIN, ...at(plain.port) })],
      upstreamCa: [root.certificate],
    };
    egress.send({
      type: "config",
      config: config(ca, policy, { direct: { tls: ANY_PORT, http: ANY_PORT } }),
    });
    const { listening } = await egress.next("ready");
    const [main = 0, tls = 0, http = 0] = listening.map((address) => Number(address.split(":").at(-1)));
    const pid = egress.child.pid ?? 0;
    const guest = { port: main, ca };
    expect((await curl(guest, `https://${HOST}/short`)).stdout).toBe("fine");
    await until(() => secure.open() <= 1);
    const descriptors = descriptorsOf(pid);

    const crowd = gather({ main, tls, http, ca: ca.certificate }, CROWD);
    closing.push(() => crowd.leave());
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, megabytesOf(pid));
    }, 500);
    closing.push(() => clearInterval(watch));
    // Used again and again, as an agent does with its model's host.
    let kept = await openTunnel(guest, HOST);
    expect(await over(kept)).toBe("fine");
    // Idle, it may have to give way, just as it is used again: then every client dials anew.
    const overKept = async (): Promise<string> => {
      const said = kept.destroyed ? undefined : await over(kept).catch(() => undefined);
      if (said !== undefined) return said;
      kept = await openTunnel(guest, HOST);
      return over(kept);
    };
    await until(() => crowd.opened() >= CROWD, 60_000);

    const failures: string[] = [];
    const took: number[] = [];
    const says = async (what: string, ask: () => Promise<string>): Promise<void> => {
      const began = performance.now();
      const said = await ask().catch((error: unknown) => String(error));
      took.push(performance.now() - began);
      if (said !== "fine") failures.push(`${what}: ${said}`);
    };
    const directly = (port: number) => ["--noproxy", "*", "--connect-to", `::127.0.0.1:${port}`];
    for (let i = 0; i < REQUESTS; i += 5) {
      await says("kept", overKept);
      for (const version of ["--http1.1", "--http2"])
        await says(version, async () => (await curl(guest, version, `https://${HOST}/short`)).stdout);
      await says("443", async () => (await curl(guest, ...directly(tls), `https://${HOST}/short`)).stdout);
      await says("80", async () => (await curl(guest, ...directly(http), `http://${PLAIN}/short`)).stdout);
    }
    const opened = crowd.opened();
    crowd.leave();
    kept.destroy();
    expect(failures).toEqual([]);
    expect(opened).toBeGreaterThan(CROWD);
    await until(() => descriptorsOf(pid) <= descriptors + 1, 20_000);
    took.sort((a, b) => a - b);
    const [half, slowest] = [took[took.length >> 1] ?? 0, took.at(-1) ?? 0];
    console.log(
      `${opened} hostile connections; honest requests took ${half.toFixed(0)} ms at the median, ${slowest.toFixed(0)} at most; ${most.toFixed(0)} MB`,
    );
    expect(most).toBeLessThan(400);
  });
});

interface Crowd {
  /** Connections opened so far. */
  opened(): number;
  leave(): void;
}

function gather(doors: Doors, size: number): Crowd {
  const child = fork(fileURLToPath(new URL("../../support/crowd-entry.ts", import.meta.url)), {
    execArgv: ["--import", "tsx"],
  });
  let count = 0;
  child.on("message", ({ opened }: { readonly opened: number }) => {
    count = opened;
  });
  child.send({ doors, size });
  return { opened: () => count, leave: () => void child.kill("SIGKILL") };
}

function over(socket: Duplex): Promise<string> {
  return new Promise((resolve, reject) => {
    const agent = new Agent({ keepAlive: true });
    agent.createConnection = () => socket;
    const request = httpRequest({ agent, path: "/short", headers: { host: HOST } });
    request.on("error", reject);
    const closed = (): void => reject(new Error("closed"));
    socket.once("close", closed);
    request.on("response", (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on("end", () => {
        socket.off("close", closed);
        resolve(text);
      });
    });
    request.end();
  });
}
