/**
 * A pipelock as its sidecar runs it, spoken to as egress speaks to it: the real one where there is one on PATH, the stand-in
 * elsewhere. So what is asked of it here is what its configuration asks of any.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { request as requestTunnel } from "node:http";
import { type RequestOptions, request as requestHttps } from "node:https";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeCertificateAuthority } from "../../../demo/upstreams/certificate-authority.ts";
import { mintAuthority } from "../../../src/bundle/certificate-authority.ts";
import type { PipelockPolicy } from "../../../src/contract/pipelock.ts";
import { programOnPath } from "../../../src/lib/program-on-path.ts";
import { type RunningPipelock, runPipelock } from "../../../src/sidecars/pipelock/program.ts";
import { installPipelock } from "../../support/pipelock.ts";
import { httpsUpstream, type Upstream } from "../../support/tls-upstream.ts";

const real = programOnPath("pipelock");
/** What GitHub's look like. */
const TOKEN = `gh${"p_"}${randomBytes(27).toString("hex").slice(0, 36)}`;
/** By which this machine is found without any other. */
const HOST = "localhost";
const POLICY: PipelockPolicy = {
  hosts: [HOST],
  sealed: [],
  // As a route's allow_addresses.
  addresses: ["127.0.0.0/8", "::1/128"],
  credentialHeaders: ["authorization"],
};

describe(`pipelock (${real ?? "the stand-in"})`, () => {
  let folder = "";
  let program = "";
  let upstream: Upstream;
  let ca: { readonly certificate: string; readonly privateKey: string };
  let trusted = "";
  const reached: (string | undefined)[] = [];
  const running: RunningPipelock[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "bbl-"));
    const authority = await makeCertificateAuthority("a test's");
    trusted = authority.certificate;
    upstream = await httpsUpstream(await authority.issue([HOST]), (request, response) => {
      reached.push(request.headers.authorization);
      request.resume().on("end", () => response.end("reached\n"));
    });
    const names = { [`${HOST}:${upstream.port}`]: { port: upstream.port, address: "127.0.0.1" } };
    program = real ?? join(installPipelock(folder, names), "pipelock");
    ca = await mintAuthority("t-pipelock-00000");
  });
  afterAll(async () => {
    for (const each of running) await each.stop();
    await upstream?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  let count = 0;
  async function started(policy: PipelockPolicy): Promise<RunningPipelock> {
    const pipelock = await runPipelock(
      { program, ca, upstreamCa: [trusted] },
      join(folder, String(++count)),
      policy,
    );
    running.push(pipelock);
    return pipelock;
  }

  /** The status with which the tunnel was refused, else that of the answer in it. */
  async function ask(
    { port }: RunningPipelock,
    options: Pick<RequestOptions, "headers"> & { readonly host?: string; readonly body?: string } = {},
  ): Promise<string> {
    const { host = HOST, headers = {}, body } = options;
    const [status, socket] = await new Promise<readonly [number, Socket]>((resolve, reject) => {
      const tunnel = requestTunnel({
        port,
        host: "127.0.0.1",
        method: "CONNECT",
        path: `${host}:${upstream.port}`,
      });
      tunnel.on("error", reject);
      tunnel.on("connect", (response, taken) => resolve([response.statusCode ?? 0, taken]));
      tunnel.end();
    });
    socket.on("error", () => {});
    if (status !== 200) {
      socket.destroy();
      return `tunnel ${status}`;
    }
    return new Promise((resolve, reject) => {
      // Nobody but the bottle's own CA is believed.
      const secure = connectTls({ socket, servername: host, ca: [ca.certificate] });
      secure.on("error", reject);
      const request = requestHttps(
        {
          ...{
            host,
            path: "/echo",
            method: body === undefined ? "GET" : "POST",
            headers,
            port: upstream.port,
          },
          createConnection: () => secure,
        },
        (response) => {
          response.resume().on("end", () => {
            secure.destroy();
            resolve(String(response.statusCode));
          });
        },
      );
      request.on("error", reject);
      request.end(body);
    });
  }

  it("lets through the credential that egress puts into its header, and blocks the same one anywhere else", async () => {
    const pipelock = await started(POLICY);
    expect(await ask(pipelock, { headers: { authorization: `Bearer ${TOKEN}` } })).toBe("200");
    expect(reached).toEqual([`Bearer ${TOKEN}`]);
    expect(await ask(pipelock, { headers: { "x-note": TOKEN } })).toBe("403");
    expect(await ask(pipelock, { body: `{"k":"${TOKEN}"}` })).toBe("403");
    // Without the exemption its header is one like any other.
    const without = await started({ ...POLICY, credentialHeaders: [] });
    expect(await ask(without, { headers: { authorization: `Bearer ${TOKEN}` } })).toBe("403");
    expect(reached).toHaveLength(1);
  });

  it("opens no tunnel to a host that is not on its list, nor to a private address that no route allows", async () => {
    expect(await ask(await started({ ...POLICY, hosts: ["elsewhere.test"] }))).toBe("tunnel 403");
    expect(await ask(await started({ ...POLICY, addresses: [] }))).toBe("tunnel 403");
    expect(await ask(await started({ ...POLICY, addresses: ["10.0.0.0/8"] }))).toBe("tunnel 403");
    expect(reached).toHaveLength(1);
  });
});
