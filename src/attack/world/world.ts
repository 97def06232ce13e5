/**
 * Everything a run needs, started and ended together: planted secrets, upstreams and impostors, an obliging proxy, an
 * operator with two bottles; and for each place where a program may run, how it is run there.
 */
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, openSync, realpathSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { makeCertificateAuthority } from "../../../demo/upstreams/certificate-authority.ts";
import { HOST_ITSELF } from "../../bundle/container-network.ts";
import { GUEST, SERVICE_PORTS } from "../../contract/backend.ts";
import type { BackendName } from "../../contract/isolation.ts";
import { packagePath } from "../../lib/package-root.ts";
import { makeTemporaryDir } from "../../lib/paths.ts";
import { exited } from "../../lib/processes.ts";
import { createScope, type Scope } from "../../lib/scope.ts";
import { GUEST_CA } from "../../provision/ca-environment.ts";
import { startGitSite } from "./git-site.ts";
import { hostState, pinNamespaces } from "./host-state.ts";
import { hostAddresses, startImpostors } from "./impostors.ts";
import { startObligingProxy } from "./obliging-proxy.ts";
import { HOSTS, makeOperator, type Operator } from "./operator.ts";
import { PLANTED_FILE, SYSTEM_FOLDER } from "./outer.ts";
import { digest, keyLine, makeSecrets, type Secrets } from "./secrets.ts";
import { startUpstream } from "./upstream.ts";

/** Where the kit is in a guest. */
export const GUEST_KIT = `${GUEST.home}/.attack`;
const KIT_FILES = ["attack-kit.mjs", "attack-run.mjs", "attack-one.mjs"] as const;

/** Names that are asked for and that no route has: outside the upstream has them all. */
const FURTHER_NAMES = [
  "dns.test",
  `*.${HOSTS.ALLOWED}`,
  `*.${HOSTS.WIDE}`,
  `not${HOSTS.ALLOWED}`,
  "early.test",
];

export interface WorldOptions {
  readonly backend: BackendName;
  /** A folder of the run's own, with what the outer world was made of. */
  readonly root: string;
  readonly outer: boolean;
  readonly planted: readonly string[];
}

export interface World {
  readonly operator: Operator;
  readonly kit: string;
  /** Ids of the bottles, while there are any. */
  readonly ids: { readonly attacked: string; readonly neighbour: string };
  /** Variables of programs inside, of the operator's, and of those that are outside of any bottle. */
  readonly env: Readonly<Record<"guest" | "host" | "outside", Readonly<Record<string, string>>>>;
  readonly folders: { readonly host: string; readonly outside: string };
  /** Writes what there is now, where programs find it under `name`. */
  look(name: "BEFORE" | "DURING" | "AFTER"): void;
  endBottles(): Promise<void>;
  close(): Promise<void>;
}

export function makeRoot(): string {
  // Short: sockets lie below it.
  const root = realpathSync(makeTemporaryDir("bba-"));
  // What the outer world shows in place of the host's.
  mkdirSync(join(root, "made"));
  writeFileSync(join(root, "made", "resolv.conf"), "nameserver 1.1.1.1\noptions timeout:1 attempts:1\n");
  writeFileSync(join(root, "made", "shadow"), "root:what only root may read:19000:0:99999:7:::\n");
  writeFileSync(join(root, "made", "hosts"), `127.0.0.1\tlocalhost\n127.0.0.1\t${hostname()}\n`);
  return root;
}

export async function makeWorld(options: WorldOptions, tell: (text: string) => void): Promise<World> {
  const scope = createScope();
  try {
    return await build(options, scope, tell);
  } catch (error) {
    await scope.close();
    throw error;
  }
}

async function build(options: WorldOptions, scope: Scope, tell: (text: string) => void): Promise<World> {
  const { root, outer, planted, backend } = options;
  const path = (...parts: readonly string[]): string => join(root, ...parts);
  const secrets = makeSecrets();
  const word = `W${randomBytes(12).toString("hex")}`;
  for (const folder of ["kit", "sockets", "outside", "upstream", "tries"])
    mkdirSync(path(folder), { mode: 0o700 });
  for (const name of KIT_FILES) copyFileSync(packagePath("dist/programs", name), path("kit", name));

  // A bundle that is not on this network stack cannot come to our loopback.
  const host = outer || backend !== "docker" ? "127.0.0.1" : (hostAddresses()[0] ?? "127.0.0.1");
  const authority = await makeCertificateAuthority("bottle attack");
  const caFile = path("upstream-ca.pem");
  writeFileSync(caFile, authority.certificate);
  const names = Object.values(HOSTS);
  const tls = await authority.issue([names[0] ?? "", ...names.slice(1), ...FURTHER_NAMES]);
  const upstream = await startUpstream({ tls, word, host, received: path("received-from-bottle") });
  scope.defer("upstream", () => upstream.close());
  const free = await startUpstream({
    tls,
    word,
    host: "127.0.0.1",
    received: path("received-outside"),
    adds: `authorization: Bearer ${secrets.token}\n`,
  });
  scope.defer("upstream outside", () => free.close());
  for (const file of ["received-from-bottle", "received-outside", "asked-of-resolvers"])
    writeFileSync(path(file), "");
  const proxy = await startObligingProxy("127.0.0.1", free);
  scope.defer("proxy", () => proxy.close());
  const impostors = await startImpostors({
    ...{ word, folder: path("sockets"), outer },
    asked: path("asked-of-resolvers"),
  });
  scope.defer("impostors", () => impostors.close());
  const credential = { username: "git", token: secrets.gitToken };
  const gitSite = await startGitSite(await authority.issue([host]), path("upstream"), credential, host);
  scope.defer("git", () => gitSite.close());

  const operator = makeOperator({
    root,
    backend,
    secrets,
    caFile,
    upstream: { host, tlsPort: upstream.tlsPort, plainPort: upstream.plainPort, gitPort: gitSite.port },
    // In its containers the engine's own names are known.
    inner: outer || backend !== "docker" ? undefined : `${HOST_ITSELF}:443`,
    addresses: { metadata: impostors.env["METADATA"] ?? "", lan: impostors.env["LAN"] ?? "" },
  });
  for (const bare of ["upstream/app.git", "outside/app.git"]) {
    execFileSync("git", ["clone", "--quiet", "--bare", operator.repository, path(bare)], {
      env: operator.env,
      stdio: "ignore",
    });
    execFileSync("git", ["--git-dir", path(bare), "config", "http.receivepack", "true"], {
      env: operator.env,
    });
  }
  makeOutsider(path, operator);
  writeFileSync(path("user/own.pem"), tls.certificate);
  writeFileSync(path("user/own.key"), tls.key, { mode: 0o600 });
  const marked = startMarked(root, word, secrets);
  scope.defer("marked process", () => marked.end());

  const looks = (name: string): string => path(`looked-${name}`);
  const ids = { attacked: "", neighbour: "" };
  const look: World["look"] = (name) => {
    const now = hostState(
      root,
      Object.values(ids).filter((id) => id !== ""),
    );
    writeFileSync(looks(name), JSON.stringify(now));
  };
  look("BEFORE");

  tell(`starting two bottles on ${backend}`);
  scope.defer("bottles", async () => {
    const { stdout } = await operator.bottle(["list", "--json"]);
    const left = (JSON.parse(stdout || "[]") as { id: string }[]).map(({ id }) => id);
    if (left.length > 0) await operator.bottle(["rm", "--force", ...left]);
    await operator.bottle(["cleanup", "--yes"]);
  });
  // Both, so that neither is left behind when the other does not come up.
  const started = await Promise.allSettled([
    operator.start("attacked", "--cwd"),
    operator.start("neighbour"),
  ]);
  for (const each of started) if (each.status === "rejected") throw each.reason;
  const [attacked = "", neighbour = ""] = started.flatMap((each) =>
    each.status === "fulfilled" ? [each.value] : [],
  );
  Object.assign(ids, { attacked, neighbour });
  for (const id of [attacked, neighbour]) {
    const { code, stderr } = await operator.bottle(["cp", path("kit"), `${id}:${GUEST_KIT}`]);
    if (code !== 0) throw new Error(`the kit cannot be put into ${id}: ${stderr.trim()}`);
  }
  const observe = (): void => {
    scope.defer("namespaces", pinNamespaces(root, [attacked, neighbour]));
    look("DURING");
  };
  observe();

  const decoy = await operator.bottle([
    "exec",
    "-T",
    attacked,
    "--",
    "cat",
    `${GUEST.home}/.config/backup/credentials.json`,
  ]);
  mkdirSync(path("outside/home/.config/backup"), { recursive: true });
  writeFileSync(path("outside/home/.config/backup/credentials.json"), decoy.stdout);

  const shared = {
    WORD: word,
    ...impostors.env,
    ...Object.fromEntries(Object.entries(HOSTS).map(([name, value]) => [`${name}_HOST`, value])),
    NAME: outer ? "some-name.example.com" : hostname(),
    /** Whether somebody plays the resolvers. */
    PLAYED: outer ? "yes" : "",
    FOUND: secrets.found,
    TOKEN_SHA256: digest(secrets.token),
    GIT_TOKEN_SHA256: digest(secrets.gitToken),
    KEY_LINE_SHA256: digest(keyLine(secrets.key)),
    OPERATOR: path("user"),
    BOTTLE_HOME: operator.home,
    CONTROL_SOCKET: path("run/bot-bottle", attacked, "control.sock"),
    NEIGHBOUR_SOCKET: path("run/bot-bottle", neighbour, "control.sock"),
    KEEPER_TOKEN: join(operator.home, "state", attacked, "token"),
    PLANTED: planted.filter((folder) => folder !== SYSTEM_FOLDER).join(" "),
    PLANTED_SYSTEM: planted.filter((folder) => folder === SYSTEM_FOLDER).join(" "),
    PLANTED_FILE,
    MARK: marked.name,
    MARKED_PID: String(marked.pid),
    LINK_PORTS: Object.values(SERVICE_PORTS)
      .flatMap((ports) => Object.values(ports))
      .join(" "),
    ID: attacked,
    NEIGHBOUR_ID: neighbour,
    SIDE_ROOT: root,
  };
  const bottleCommand = `${process.execPath} ${packagePath("dist/bottle.js")}`;
  const seen = {
    BEFORE: looks("BEFORE"),
    DURING: looks("DURING"),
    AUDIT: join(operator.home, "audit", `${attacked}.jsonl`),
    STATE: join(operator.home, "state"),
    TRIES: path("tries"),
    PROJECT: operator.repository,
    BOTTLE: bottleCommand,
    ASKED: path("asked-of-resolvers"),
  };
  const outsideEnv = {
    ...operator.env,
    ...shared,
    ...seen,
    HOME: path("outside/home"),
    BOUND: secrets.bound,
    HTTPS_PROXY: `http://127.0.0.1:${proxy.port}`,
    HTTP_PROXY: `http://127.0.0.1:${proxy.port}`,
    https_proxy: `http://127.0.0.1:${proxy.port}`,
    http_proxy: `http://127.0.0.1:${proxy.port}`,
    NO_PROXY: "",
    CURL_CA_BUNDLE: caFile,
    SSL_CERT_FILE: caFile,
    NODE_EXTRA_CA_CERTS: caFile,
    REMOTE: path("outside/app.git"),
    AFTER: looks("DURING"),
    RECEIVED: path("received-outside"),
    SIDE: "outside",
    AUTHORITY: path("user/own.pem"),
    SECRET_FOLDERS: path("user"),
  };
  return {
    operator,
    kit: path("kit"),
    ids,
    look,
    env: {
      guest: {
        ...shared,
        REMOTE: "git-gate:app",
        AUTHORITY: GUEST_CA.ca,
        SECRET_FOLDERS: "/ /dev/shm",
        KIT: GUEST_KIT,
        SIDE: "guest",
      },
      host: {
        ...operator.env,
        ...shared,
        ...seen,
        REMOTE: path("upstream/app.git"),
        AFTER: looks("AFTER"),
        RECEIVED: path("received-from-bottle"),
        SIDE: "bottle",
        SECRET_FOLDERS: `${operator.home} ${path("run")}`,
      },
      outside: outsideEnv,
    },
    folders: { host: operator.repository, outside: path("outside/workspace") },
    async endBottles() {
      // Parts that are only there once they are needed have to be gone as well.
      observe();
      const { code, stderr } = await operator.bottle(["rm", "--force", attacked, neighbour]);
      if (code !== 0) throw new Error(`bottle rm: exit ${code}: ${stderr.trim()}`);
    },
    close: () => scope.close(),
  };
}

/** Who tries the same outside: a home with what an agent finds in its own, and a copy of the work. */
function makeOutsider(path: (...parts: readonly string[]) => string, operator: Operator): void {
  mkdirSync(path("outside/home"), { recursive: true });
  copyFileSync(path("user/.gitconfig"), path("outside/home/.gitconfig"));
  execFileSync("git", ["clone", "--quiet", path("outside/app.git"), path("outside/workspace")], {
    env: operator.env,
    stdio: "ignore",
  });
}

/** A process of the operator's that anybody would know: its arguments are a mark, its environment holds a secret, and it has a folder open. */
function startMarked(
  root: string,
  word: string,
  secrets: Secrets,
): { readonly pid: number; readonly name: string; end(): Promise<void> } {
  const name = `marked-${word}`;
  const folder = openSync(root, "r");
  const child = spawn("sleep", ["86400"], {
    argv0: name,
    env: { PATH: process.env["PATH"] ?? "", ATTACK_TOKEN: secrets.token },
    stdio: ["ignore", "ignore", "ignore", folder],
  });
  child.on("error", () => {});
  return {
    pid: child.pid ?? 0,
    name,
    async end() {
      child.kill("SIGKILL");
      await exited(child);
    },
  };
}

/** Whether what programs need was built. */
export function kitIsBuilt(): boolean {
  return KIT_FILES.every((name) => existsSync(packagePath("dist/programs", name)));
}
