/** The proxies that are compared, each in a process of its own, on the same terms: TLS ended and begun anew. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { mintAuthority } from "../../src/bundle/certificate-authority.ts";
import { INSPECTED } from "../../src/contract/policy.ts";
import type { EgressConfig } from "../../src/contract/sidecar.ts";
import { packagePath } from "../../src/lib/package-root.ts";
import { cacheOf } from "../../src/lib/paths.ts";
import { run } from "../../src/lib/processes.ts";
import { startSidecar } from "../sidecar.ts";
import type { BareSetup } from "./bare.ts";
import type { Way } from "./client.ts";

export interface Subject {
  readonly name: string;
  readonly child: ChildProcess;
  readonly way: Way;
}

export interface Terrain {
  /** Of this run, removed at its end. */
  readonly folder: string;
  /** PEM of the upstream's root, and the same as a file. */
  readonly root: string;
  readonly rootFile: string;
  readonly upstreamPort: number;
  /** PEM: what the upstream proves itself with, which a proxy of ours may too. */
  readonly certificate: string;
  readonly key: string;
  /** Starts a process that is ended with the run. */
  readonly keep: (child: ChildProcess) => ChildProcess;
}

/** Where nobody is known by name: what the others dial. Ours dials it for HOST by `connect_to`. */
const LOCAL = "localhost";
export const HOST = "bench.example.test";
export const UPSTREAM_NAMES = [HOST, LOCAL] as const;

const START_MS = 30_000;
const INSTALL_MS = 5 * 60_000;
const MOCKTTP = "mockttp@4";
const HTTP_MITM_PROXY = "http-mitm-proxy@1";

/** @returns undefined where it is not installed and cannot be. */
export type StartSubject = (terrain: Terrain) => Promise<Subject | undefined>;

export const SUBJECTS: Readonly<Record<string, StartSubject>> = {
  tunnel: startTunnel,
  "node:tls alone": startBare,
  "bot-bottle": startEgress,
  mitmproxy: startMitmproxy,
  mockttp: (terrain) =>
    startPackage(terrain, "mockttp", MOCKTTP, (port) => [
      `import { getLocal } from "mockttp";`,
      `const server = getLocal({ https: { keyPath: "ca.key", certPath: "ca.pem" }, recordTraffic: false, http2: false });`,
      `await server.forAnyRequest().thenPassThrough({ trustAdditionalCAs: [{ certPath: ${JSON.stringify(terrain.rootFile)} }] });`,
      `await server.start(${port});`,
    ]),
  "http-mitm-proxy": (terrain) =>
    startPackage(terrain, "http-mitm-proxy", HTTP_MITM_PROXY, (port) => [
      `import { Proxy } from "http-mitm-proxy";`,
      `const proxy = new Proxy();`,
      `proxy.onError(() => {});`,
      `proxy.listen({ port: ${port}, host: "127.0.0.1", sslCaDir: "authority", keepAlive: true });`,
    ]),
};

async function startTunnel(terrain: Terrain): Promise<Subject> {
  const port = freePort();
  const program = [
    `import { createServer } from "node:http"; import { connect } from "node:net";`,
    `createServer().on("connect", (request, client) => {`,
    `  const upstream = connect({ port: ${terrain.upstreamPort}, host: "127.0.0.1", noDelay: true }, () => {`,
    `    client.write("HTTP/1.1 200 OK\\r\\n\\r\\n"); client.pipe(upstream).pipe(client); });`,
    `  upstream.on("error", () => client.destroy()); client.on("error", () => upstream.destroy());`,
    `}).listen(${port}, "127.0.0.1");`,
  ];
  const child = terrain.keep(
    spawn(process.execPath, ["--input-type=module", "-e", program.join("\n")], { stdio: "ignore" }),
  );
  await answers(port, child);
  return { name: "tunnel", child, way: { proxy: port, host: HOST, port: 443, ca: terrain.root } };
}

async function startBare(terrain: Terrain): Promise<Subject> {
  const child = terrain.keep(role("bare.ts"));
  const { certificate, key, root, upstreamPort } = terrain;
  child.send({ certificate, key, root, upstreamPort, host: HOST } satisfies BareSetup);
  const [{ port }] = (await once(child, "message")) as [{ readonly port: number }];
  return { name: "node:tls alone", child, way: { proxy: port, host: HOST, port: 443, ca: root } };
}

/** One of the bench's own programs. */
export function role(file: string): ChildProcess {
  return fork(packagePath(`bench/proxy/${file}`), { execArgv: ["--import", "tsx"] });
}

async function startEgress(terrain: Terrain): Promise<Subject> {
  const ca = await mintAuthority("bench");
  const config: EgressConfig = {
    bottle: "bench",
    ca: { certificate: ca.certificate, privateKey: ca.privateKey },
    listen: { kind: "tcp", host: "127.0.0.1", port: 0 },
    findingsKey: randomBytes(32).toString("hex"),
    policy: {
      known: [{ name: "TOKEN", kind: "known", value: randomBytes(20).toString("hex"), to: [] }],
      rules: [],
      upstreamCa: [terrain.root],
      routes: [
        {
          host: HOST,
          matches: [],
          inject: [{ header: "authorization", value: `Bearer ${randomBytes(20).toString("hex")}` }],
          credentialHeaders: ["authorization"],
          tls: "terminate",
          allowAddresses: [],
          connectTo: { host: "127.0.0.1", port: terrain.upstreamPort },
          inspection: { ...INSPECTED },
        },
      ],
    },
  };
  const { child, address } = await startSidecar("egress", config);
  terrain.keep(child);
  const port = Number(address.split(":")[1]);
  return { name: "bot-bottle", child, way: { proxy: port, host: HOST, port: 443, ca: ca.certificate } };
}

async function startMitmproxy(terrain: Terrain): Promise<Subject | undefined> {
  const home = join(terrain.folder, "mitmproxy");
  mkdirSync(home);
  const port = freePort();
  const args = [
    ...["--quiet", "--listen-host", "127.0.0.1", "--listen-port", String(port)],
    ...["--set", `confdir=${home}`, "--set", `ssl_verify_upstream_trusted_ca=${terrain.rootFile}`],
    ...["--set", "stream_large_bodies=1"],
  ];
  const child = terrain.keep(
    spawn("mitmdump", args, { stdio: "ignore", env: { ...process.env, HOME: home } }),
  );
  const isMissing = await new Promise<boolean>((resolve) => {
    child.once("error", () => resolve(true));
    child.once("spawn", () => resolve(false));
  });
  if (isMissing) return undefined;
  await answers(port, child);
  const ca = readFileSync(join(home, "mitmproxy-ca-cert.pem"), "utf8");
  return { name: "mitmproxy", child, way: { proxy: port, host: LOCAL, port: terrain.upstreamPort, ca } };
}

/** Packages that nobody else needs are installed into the cache, when the bench is first run. */
async function startPackage(
  terrain: Terrain,
  name: string,
  spec: string,
  program: (port: number) => readonly string[],
): Promise<Subject | undefined> {
  const packages = join(cacheOf(), "bench", name);
  if (!existsSync(join(packages, "node_modules"))) {
    mkdirSync(packages, { recursive: true });
    process.stderr.write(`bench: installing ${spec} into ${packages}\n`);
    const args = ["install", "--prefix", packages, "--ignore-scripts", "--no-audit", "--no-fund", spec];
    const { code } = await run(["npm", ...args], { cwd: packages, timeoutMs: INSTALL_MS });
    if (code !== 0) return undefined;
  }
  const port = freePort();
  const file = join(packages, `proxy-${process.pid}.mjs`);
  const authority = await mintAuthority("bench");
  writeFileSync(join(packages, "ca.pem"), authority.certificate);
  writeFileSync(join(packages, "ca.key"), authority.privateKey, { mode: 0o600 });
  writeFileSync(file, program(port).join("\n"));
  const child = terrain.keep(
    spawn(process.execPath, [file], {
      cwd: packages,
      stdio: ["ignore", "ignore", "inherit"],
      env: { PATH: process.env["PATH"], NODE_EXTRA_CA_CERTS: terrain.rootFile },
    }),
  );
  await answers(port, child);
  const own = join(packages, "authority/certs/ca.pem");
  const ca = name === "http-mitm-proxy" ? readFileSync(own, "utf8") : authority.certificate;
  return { name, child, way: { proxy: port, host: LOCAL, port: terrain.upstreamPort, ca } };
}

let nextPort = 20_000 + (process.pid % 20_000);
const freePort = (): number => nextPort++;

/** Waits until somebody accepts. */
async function answers(port: number, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    const accepted = await new Promise<boolean>((resolve) => {
      const socket = connect({ port, host: "127.0.0.1" }, () => resolve(true));
      socket.once("error", () => resolve(false));
      socket.once("close", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (accepted) return;
    if (child.exitCode !== null) throw new Error(`a proxy ended (${child.exitCode})`);
    if (Date.now() > deadline) throw new Error("a proxy does not listen");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
