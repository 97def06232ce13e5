/**
 * Real package managers in a real bottle, behind the very rules that the presets have: everything that they ask for
 * passes, and nothing of it is taken for a secret. Only the registries are stand-ins, under their real names.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { PresetName, Route } from "../../../src/contract/policy.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { expandPresets } from "../../../src/plan/presets/expand.ts";
import {
  crateRegistry,
  debianArchive,
  goProxy,
  imageRegistry,
  npmRegistry,
  pythonIndex,
  servingByHost,
} from "../../doubles/package-registries.ts";
import { type GitSite, startGitSite } from "../../support/git-site.ts";
import {
  createRealOperator,
  hasProgram,
  IDLE,
  type RealBottle,
  type RealOperator,
  type Run,
} from "../../support/real-bottle.ts";
import { httpsUpstream, httpUpstream, type Upstream } from "../../support/tls-upstream.ts";

const IMAGE_HOSTS = ["registry-1.docker.io", "auth.docker.io"];
const PRESETS: readonly PresetName[] = ["npm", "pypi", "crates", "go", "debian", "github-read"];

/** A Rust with sparse indexes (1.68), wherever the host has it; it is mounted. */
const RUST = rustToolchain();
const RUST_IN_BOTTLE = RUST === "/usr" ? RUST : "/opt/rust";

const DOCKER = ["/usr/local/bin/docker", "/usr/bin/docker"].find((path) => existsSync(path));

let operator: RealOperator;
let bottle: RealBottle;
let site: Upstream;
let plain: Upstream;
let github: GitSite;
let seen = 0;

beforeAll(async () => {
  operator = await createRealOperator();
  const { routes } = expandPresets(PRESETS, { env: () => undefined, files: [] });
  const python = pythonIndex(
    [
      { name: "thing", needs: "helper>=1", module: "import helper\nprint('thing has', helper.WORD)\n" },
      { name: "helper", module: `WORD = "help"\n${filler("#")}` },
    ],
    "https://files.pythonhosted.org",
  );
  const crates = crateRegistry(
    operator.path("crates"),
    [
      {
        name: "thing",
        needs: "helper",
        source: "pub fn word() -> &'static str { helper::WORD }\n",
      },
      { name: "helper", source: `pub const WORD: &str = "help";\n${filler("//")}` },
    ],
    "https://static.crates.io",
  );
  const images = imageRegistry("library/thing", jwt(), "https://auth.docker.io/token");
  const hosts = {
    "registry.npmjs.org": npmRegistry(packagePath("node_modules"), "https://registry.npmjs.org"),
    "pypi.org": python.index,
    "files.pythonhosted.org": python.files,
    "index.crates.io": crates.index,
    "static.crates.io": crates.files,
    "proxy.golang.org": goProxy([
      {
        path: "example.com/thing",
        needs: "example.com/helper",
        source: 'package thing\n\nimport "example.com/helper"\n\nconst Word = helper.Word\n',
      },
      { path: "example.com/helper", source: `package helper\n\nconst Word = "help"\n${filler("//")}` },
    ]),
    "deb.debian.org": hasProgram("dpkg-deb")
      ? debianArchive(operator.path("deb"), "/debian", "thing", "#!/bin/sh\necho thing is here\n")
      : () => undefined,
    "security.debian.org": hasProgram("dpkg-deb")
      ? debianArchive(operator.path("sec"), "/debian-security", "safe", "#!/bin/sh\necho safe is here\n")
      : () => undefined,
  };
  const serve = servingByHost({
    ...hosts,
    "registry-1.docker.io": images.registry,
    "auth.docker.io": images.authority,
  });
  const [first = "", ...others] = [...Object.keys(hosts), ...IMAGE_HOSTS];
  site = await httpsUpstream(await operator.authority.issue([first, ...others]), serve);
  plain = await httpUpstream(serve);
  for (const folder of ["src", "docs", "test"])
    cpSync(packagePath(folder), join(operator.repository, folder), { recursive: true });
  await operator.git("add", "--all");
  await operator.git("commit", "--quiet", "--message=all of it");
  await operator.git("clone", "--quiet", "--bare", operator.repository, operator.path("git/owner/thing.git"));
  github = await startGitSite(await operator.authority.issue(["github.com"]), operator.path("git"));
  const portOf = (host: string): number => {
    if (host === "github.com") return github.port;
    return host === "deb.debian.org" ? plain.port : site.port;
  };
  operator.agent("builder", {
    agent_provider: IDLE,
    env: { npm_config_audit: "false", GOPROXY: "https://proxy.golang.org", GOSUMDB: "off" },
    ...(RUST !== undefined && RUST !== RUST_IN_BOTTLE && { mounts: [{ from: RUST, to: RUST_IN_BOTTLE }] }),
    egress: {
      upstream_ca: [operator.caFile],
      routes: [
        ...routes.map(({ host, matches }: Route) => ({
          ...{ host, matches, connect_to: `127.0.0.1:${portOf(host)}` },
        })),
        ...IMAGE_HOSTS.map((host) => ({ host, connect_to: `127.0.0.1:${portOf(host)}` })),
      ],
    },
  });
  bottle = await operator.start("builder");
});
afterAll(async () => {
  await operator.remove();
  await Promise.all([site.close(), plain.close(), github.close()]);
});

/** Each test's client had all that it asked for, and nothing else was said of it. */
afterEach(({ task }) => {
  const lines = bottle.log().slice(seen);
  seen += lines.length;
  const said = lines.filter(({ event }) => event.startsWith("egress."));
  expect(said.filter(({ event }) => !["egress.admitted", "egress.allowed"].includes(event))).toEqual([]);
  const requests = said
    .filter(({ event }) => event === "egress.allowed")
    .reduce((sum, { data }) => sum + Number(data["count"] ?? 1), 0);
  console.log(`${task.name}: ${requests} requests`);
});

async function run(script: string): Promise<Run> {
  const result = await bottle.exec("sh", "-ec", script);
  expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(0);
  return result;
}

describe("ordinary work in a bottle", () => {
  it("npm installs real packages, again from its lock file, and runs what it installed", async () => {
    const { stdout } = await run(`mkdir -p ~/npm && cd ~/npm && npm init -y >/dev/null
      npm install --no-fund zod yaml commander fast-check re2js @peculiar/x509`);
    expect(stdout).toMatch(/added \d{2,} packages/);
    const again = await run(`cd ~/npm && rm -rf node_modules && npm ci --no-fund && npm ls --all >/dev/null
      npm outdated && npm view zod version && node -e 'console.log(require("yaml").stringify({ installed: true }))'`);
    expect(again.stdout).toContain("installed: true");
  }, 120_000);

  it.skipIf(!hasProgram("pip3"))("pip installs a package and what it needs", async () => {
    const { stdout } = await run(
      "pip3 install --no-input --target ~/python thing && PYTHONPATH=~/python python3 -m thing",
    );
    expect(stdout).toContain("thing has help");
    await run(
      "pip3 download --no-input -d ~/wheels thing==1.0.0 && pip3 index versions thing || true; ls ~/wheels/thing-*",
    );
  });

  it("cargo fetches and builds with a package of the sparse index", async ({ skip }) => {
    skip(RUST === undefined, "no cargo that reads sparse indexes: apt-get install cargo-web gcc");
    await run(`mkdir -p ~/rust/src && cd ~/rust
      printf '[package]\\nname = "mine"\\nversion = "0.1.0"\\nedition = "2021"\\n[dependencies]\\nthing = "1"\\n' >Cargo.toml
      echo 'pub fn word() -> &'"'"'static str { thing::word() }' >src/lib.rs
      export PATH=${RUST_IN_BOTTLE}/bin:$PATH
      cargo fetch && cargo build --offline && cargo update && test -f Cargo.lock`);
  });

  it.skipIf(!hasProgram("go"))("go downloads a module and what it needs, and builds with them", async () => {
    await run(`mkdir -p ~/go-mine && cd ~/go-mine && go mod init example.com/mine
      printf 'package mine\\n\\nimport "example.com/thing"\\n\\nconst Word = thing.Word\\n' >mine.go
      go get example.com/thing@latest && go mod download -json all && go build ./... && go mod verify`);
  });

  it.skipIf(!hasProgram("dpkg-deb") || !hasProgram("apt-get"))(
    "apt updates and downloads packages, over http and over https",
    async () => {
      const { stdout } =
        await run(`mkdir -p ~/apt/lists/partial ~/apt/archives/partial ~/apt/etc && cd ~/apt && : >status
        echo 'deb [trusted=yes] http://deb.debian.org/debian stable main' >etc/sources.list
        echo 'deb [trusted=yes] https://security.debian.org/debian-security stable main' >>etc/sources.list
        options="-o Dir::Etc=$PWD/etc -o Dir::State=$PWD -o Dir::State::status=$PWD/status -o Dir::Cache=$PWD -o Debug::NoLocking=1"
        apt-get $options update && apt-get $options install -y --download-only thing safe
        for each in archives/*.deb; do dpkg-deb -x $each root; done && root/usr/bin/thing && root/usr/bin/safe`);
      expect(stdout).toContain("thing is here\nsafe is here");
    },
  );

  it.skipIf(DOCKER === undefined)(
    "docker reads an image's manifest, with the token that it is told to get",
    async () => {
      // The client alone does it: no engine is asked.
      const { stdout } = await run(`${DOCKER} manifest inspect --verbose thing:latest`);
      expect(stdout).toContain("docker.io/library/thing:latest");
      expect(stdout).toContain("sha256:");
    },
  );

  it("git clones and fetches a repository of this one's files", async () => {
    const { stdout } = await run(`cd && git clone -q https://github.com/owner/thing.git clone && cd clone
      git log --oneline | wc -l && git fetch -q --all --tags && git fetch -q --depth 1 origin`);
    expect(Number(stdout)).toBe(2);
  }, 120_000);
});

/** What an authority gives out: of the form, signed by nobody. */
function jwt(): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: "auth.docker.io", aud: "registry.docker.io", jti: randomBytes(12).toString("hex") };
  return `${part({ alg: "ES256", typ: "JWT" })}.${part(claims)}.${randomBytes(64).toString("base64url")}`;
}

/** Lines with hashes and identifiers in them, as files of packages have. */
function filler(comment: string): string {
  return Array.from(
    { length: 200 },
    (_, i) => `${comment} sha256-${String(i).padStart(64, "0a1b2c3d")}\n`,
  ).join("");
}

/** The folder of one that reads sparse indexes: a system's own, or the one that the path leads to. */
function rustToolchain(): string | undefined {
  return ["/usr/bin/rustc", "rustc"]
    .map((rustc) => spawnSync(rustc, ["--print", "sysroot"], { encoding: "utf8" }).stdout?.trim())
    .find((at) => {
      if (at === undefined || !existsSync(join(at, "bin", "rustc"))) return false;
      const { stdout } = spawnSync(join(at, "bin", "cargo"), ["--version"], { encoding: "utf8" });
      return Number(/^cargo 1\.(\d+)/.exec(stdout ?? "")?.[1] ?? 0) >= 68;
    });
}
