/** Debian's docker-registry on loopback, as its operators run it: plain, or with TLS and one of its two logins. */
import { type ChildProcess, spawn } from "node:child_process";
import { createPublicKey, sign } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { exited, runOk } from "../../src/lib/processes.ts";
import { makeTestCa, type TestCa } from "./test-ca.ts";

export const LOGIN = { user: "developer", password: ["right", "horse", "battery"].join("-") };

export interface OciRegistry {
  /** `localhost:<port>` */
  readonly host: string;
  readonly storage: string;
  /** Who vouches for its certificate; plain without. */
  readonly ca?: TestCa;
  /** Requests for a token: their query, and whether they said who asks. */
  readonly tokenRequests: { readonly query: URLSearchParams; readonly authorization: string | undefined }[];
  stop(): Promise<void>;
}

export async function startOciRegistry(auth?: "basic" | "token"): Promise<OciRegistry> {
  const area = mkdtempSync(join(tmpdir(), "bottle-test-registry-"));
  const storage = join(area, "storage");
  mkdirSync(storage);
  const port = await freePort();
  const ca = auth === undefined ? undefined : await makeTestCa("registry test CA");
  const identity = await ca?.issue(["localhost"]);
  if (identity !== undefined) {
    writeFileSync(join(area, "cert.pem"), identity.certificate);
    writeFileSync(join(area, "key.pem"), identity.key, { mode: 0o600 });
  }
  const tokenRequests: OciRegistry["tokenRequests"] = [];
  const tokens = auth === "token" && identity ? await startTokenServer(identity, tokenRequests) : undefined;
  const config = {
    version: 0.1,
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: {
      addr: `127.0.0.1:${port}`,
      ...(identity && { tls: { certificate: join(area, "cert.pem"), key: join(area, "key.pem") } }),
    },
    ...(auth === "basic" && { auth: { htpasswd: { realm: "test", path: await htpasswd(area) } } }),
    ...(tokens && {
      auth: {
        token: {
          realm: tokens.realm,
          service: "test-registry",
          issuer: "test",
          rootcertbundle: join(area, "cert.pem"),
        },
      },
    }),
  };
  // YAML that is JSON.
  writeFileSync(join(area, "config.yml"), JSON.stringify(config));
  const child = spawn("docker-registry", ["serve", join(area, "config.yml")], { stdio: "ignore" });
  await listening(port, child);
  return {
    host: `localhost:${port}`,
    storage,
    ...(ca && { ca }),
    tokenRequests,
    async stop() {
      child.kill("SIGKILL");
      await exited(child);
      await tokens?.close();
      await ca?.remove();
      rmSync(area, { recursive: true, force: true });
    },
  };
}

/** As `htpasswd -B` writes it; perl's crypt is the C library's. */
async function htpasswd(area: string): Promise<string> {
  const salt = `$2b$05$${"abcdefghijklmnopqrstuu"}`;
  const { stdout } = await runOk(["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", LOGIN.password, salt]);
  const path = join(area, "htpasswd");
  writeFileSync(path, `${LOGIN.user}:${stdout.toString()}\n`);
  return path;
}

interface Identity {
  readonly key: string;
  readonly certificate: string;
}

/** Gives a token to who has the password, and one for nothing to who has none. */
async function startTokenServer(identity: Identity, requests: OciRegistry["tokenRequests"]) {
  const server = createHttpsServer({ key: identity.key, cert: identity.certificate }, (request, response) => {
    const query = new URL(request.url ?? "/", "https://localhost").searchParams;
    const { authorization } = request.headers;
    requests.push({ query, authorization });
    const right = `Basic ${Buffer.from(`${LOGIN.user}:${LOGIN.password}`).toString("base64")}`;
    if (authorization !== undefined && authorization !== right) {
      response.writeHead(401).end("{}");
      return;
    }
    const [type = "", name = "", actions = ""] = (query.get("scope") ?? "").split(":");
    const access = authorization === right ? [{ type, name, actions: actions.split(",") }] : [];
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ token: tokenFor(identity, access), expires_in: 60 }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    realm: `https://localhost:${(server.address() as AddressInfo).port}/token`,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

/** Source: distribution, docs/spec/auth/jwt.md. */
function tokenFor(identity: Identity, access: readonly unknown[]): string {
  const der = identity.certificate
    .match(/-----BEGIN CERTIFICATE-----([\s\S]+?)-----END/)?.[1]
    ?.replace(/\s/g, "");
  createPublicKey(identity.certificate);
  const now = Math.floor(Date.now() / 1_000);
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = encode({ typ: "JWT", alg: "ES256", x5c: [der] });
  const claims = {
    iss: "test",
    sub: LOGIN.user,
    aud: "test-registry",
    exp: now + 60,
    nbf: now - 10,
    iat: now,
    jti: "1",
    access,
  };
  const text = `${head}.${encode(claims)}`;
  const signature = sign("sha256", Buffer.from(text), { key: identity.key, dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  while (child.exitCode === null) {
    const socket = connect(port, "127.0.0.1");
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await sleep(20);
  }
  throw new Error(`docker-registry ended with ${child.exitCode}`);
}
