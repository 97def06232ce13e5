/** A bottle whose egress leaves through a pipelock: agent, egress, pipelock, upstream, each a process of its own. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call } from "../../support/mcp-in-bottle.ts";
import { realPid } from "../../support/pid-of.ts";
import { installPipelock } from "../../support/pipelock.ts";
import {
  createRealOperator,
  IDLE,
  isRoot,
  pause,
  type RealBottle,
  type RealOperator,
} from "../../support/real-bottle.ts";
import { processTree, searchFiles, searchMemory, searchProcesses } from "../../support/real-host.ts";
import { httpsUpstream, httpUpstream, type Upstream } from "../../support/tls-upstream.ts";

const HOSTS = [
  "api.test",
  "unread.test",
  "sealed.test",
  "asked.test",
  "private.test",
  "exempt.test",
] as const;
/** What GitHub's look like. */
const TOKEN = `gh${"p_"}${randomBytes(27).toString("hex").slice(0, 36)}`;
/** What a pipelock finds, and egress is told not to look for. */
const SECRET = `gl${"pat-"}${randomBytes(12).toString("hex")}`;

let operator: RealOperator;
let bottle: RealBottle;
let upstream: Upstream;
let clear: Upstream;
let folder = "";
let env: Record<string, string>;
let since = 0;
/** Answers that are waited for. */
const held: (() => void)[] = [];
const reached: { url: string; authorization: string | undefined; encoding: string | undefined }[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "bbp-"));
  operator = await createRealOperator();
  const listener: Parameters<typeof httpUpstream>[0] = (request, response) => {
    const { authorization, host, "accept-encoding": encoding } = request.headers;
    reached.push({ url: `${host}${request.url}`, authorization, encoding: String(encoding) });
    const answer = (): void => void response.end(`reached ${host}${request.url}\n`);
    request.resume().on("end", () => (request.url === "/slow" ? held.push(answer) : answer()));
  };
  upstream = await httpsUpstream(await operator.authority.issue(HOSTS), listener);
  clear = await httpUpstream(listener);
  const bin = installPipelock(folder, {
    ...Object.fromEntries(HOSTS.map((host) => [`${host}:443`, upstream.port])),
    "unread.test:80": clear.port,
    "private.test:443": { port: upstream.port, address: "10.1.2.3" },
    "exempt.test:443": { port: upstream.port, address: "10.9.8.7" },
  });
  env = { PATH: `${bin}:${operator.env["PATH"]}`, SITE_TOKEN: TOKEN };
  operator.agent("worker", {
    agent_provider: IDLE,
    supervise: true,
    egress: {
      pipelock: true,
      upstream_ca: [operator.caFile],
      routes: [
        { host: "api.test", auth: { scheme: "Bearer", token_ref: "SITE_TOKEN" } },
        { host: "unread.test", dlp: { outbound_detectors: false } },
        { host: "sealed.test", tls: "passthrough" },
        { host: "private.test" },
        { host: "exempt.test", allow_addresses: ["10.9.0.0/16"] },
      ],
    },
  });
  since = Date.now();
  bottle = await operator.start("worker", [], { env });
}, 60_000);
afterAll(async () => {
  await operator.remove();
  await upstream.close();
  await clear.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The body, or the code of the denial. */
async function visit(url: string, ...more: readonly string[]): Promise<string> {
  const { stdout, stderr } = await bottle.exec("curl", "-sS", "--max-time", "20", ...more, url);
  return /"code":"([^"]+)"/.exec(stdout)?.[1] ?? (stdout || stderr).trim();
}

/** Processes that are this bottle's pipelock itself, and not who watches it. */
function pipelocks(): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const [program = "", script = ""] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return /\bnode/.test(program) && script === "/opt/pipelock/pipelock" && isOurs(Number(pid));
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** In this bottle's sidecar, as its configuration says. */
function isOurs(pid: number): boolean {
  return readFileSync(join(folderOf(pid), "pipelock.yaml"), "utf8").includes("unread.test");
}

function folderOf(pid: number): string {
  const file = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[4] ?? "";
  return join(`/proc/${pid}/root`, dirname(file));
}

async function eventually<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let i = 0; i < 1_200; i++) {
    const found = await look();
    if (found !== undefined) return found;
    await pause(50);
  }
  throw new Error(`in vain: ${what}`);
}

describe.skipIf(!isRoot)(
  `pipelock, before anything went through it${isRoot ? "" : " (who reads a memory is root)"}`,
  () => {
    it("was told no credential: neither it nor its sidecar has one in memory", async () => {
      const pids = processTree(await bottle.sidecar("pipelock"));
      expect(pids).toEqual(expect.arrayContaining([...pipelocks()]));
      for (const pid of pids) expect(searchMemory({ token: TOKEN }, pid)).toEqual([]);
      expect(searchMemory({ token: TOKEN }, await bottle.egress())).toEqual(["token"]);
    });
  },
);

describe("a request through egress and pipelock", () => {
  it("comes to the upstream with the credential that egress put into it, which pipelock lets be", async () => {
    expect(await visit("https://api.test/a?b=c", "--compressed")).toBe("reached api.test/a?b=c");
    expect(reached.at(-1)).toEqual({
      url: "api.test/a?b=c",
      authorization: `Bearer ${TOKEN}`,
      encoding: "identity",
    });
  });

  it("goes through it in the clear too, and is searched there", async () => {
    expect(await visit("http://unread.test/plain")).toBe("reached unread.test/plain");
    expect(await visit("http://unread.test/plain", "-d", `k=${SECRET}`)).toBe("pipelock-blocked");
  });

  it("is blocked by pipelock for what it finds in body, header or path, and the log says by whom", async () => {
    const before = reached.length;
    expect(await visit("https://unread.test/x", "-d", `k=${SECRET}`)).toBe("pipelock-blocked");
    expect(await visit("https://unread.test/x", "-H", `X-Note: ${SECRET}`)).toBe("pipelock-blocked");
    expect(await visit(`https://unread.test/${SECRET}`)).toBe("pipelock-blocked");
    expect(reached.length).toBe(before);
    const denied = bottle
      .log()
      .filter(({ event, data }) => event === "egress.denied" && data["code"] === "pipelock-blocked");
    expect(denied).toHaveLength(4);
    expect(JSON.stringify(denied)).toContain("dlp_match");
    expect(await visit("https://unread.test/x", "-d", "harmless")).toBe("reached unread.test/x");
  });

  it("goes through closed where the route is not to be opened", async () => {
    const { stdout } = await bottle.exec("curl", "-sSk", "-w", "%{certs}", "https://sealed.test/s");
    expect(stdout).toContain("reached sealed.test/s");
    expect(stdout).toContain("bot-bottle tests");
  });

  it("never comes to an address that is private there", async () => {
    expect(await visit("https://private.test/")).toBe("upstream-proxy");
    expect(reached.map(({ url }) => url)).not.toContain("private.test/");
  });

  it("comes to a private address that its route allows", async () => {
    expect(await visit("https://exempt.test/inside")).toBe("reached exempt.test/inside");
  });

  it("never comes to a host without a route", async () => {
    expect(await visit("https://asked.test/")).toBe("host-not-allowed");
  });
});

describe("pipelock's secrets", () => {
  it("are in no argument, environment or file of the host; its configuration is its own", async () => {
    const [pid] = pipelocks();
    const root = folderOf(realPid(pid));
    expect(statSync(join(root, "pipelock.yaml")).mode & 0o777).toBe(0o600);
    expect(statSync(root).mode & 0o777).toBe(0o700);
    // Read once, and gone.
    expect(readdirSync(root)).not.toContain("ca-key.pem");
    expect(existsSync("/tmp/pipelock")).toBe(false);
    const needles = { token: TOKEN, key: "EC PRIVATE KEY" };
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8")
      .split("\0")
      .map((each) => each.split("=")[0]);
    expect(environment.filter((name) => name !== "").sort()).toEqual(
      ["HOME", "PATH", "PWD", "SSL_CERT_FILE"].filter((name) => environment.includes(name)),
    );
    expect(searchProcesses(needles)).toEqual([]);
    expect(searchFiles(needles, [operator.home, operator.runtime], since)).toEqual([]);
  });
});

describe("a grant", () => {
  let ticket = "";
  it("starts another pipelock, alone; the new host can be reached, and what is in progress goes on", async () => {
    const before = {
      pipelock: pipelocks(),
      sidecar: await bottle.sidecar("pipelock"),
      egress: await bottle.egress(),
    };
    const visiting = visit("https://api.test/slow");
    const answer = await eventually("the request", () => held.shift());
    const { told } = await call(bottle, "request_access", {
      ...{ host: "asked.test", method: "GET", path: "/wanted", justification: "to read it" },
    });
    ticket = String(told["ticket"]);
    const { stdout } = await operator.bottle(["inbox", "show", ticket, "--json"]);
    const { digest } = (JSON.parse(stdout) as { pending: { digest: string } }).pending;
    const run = await operator.bottle(["inbox", "approve", ticket, "--yes", "--digest", digest]);
    expect(run, run.stderr).toMatchObject({ code: 0 });
    expect(await visit("https://asked.test/wanted")).toBe("reached asked.test/wanted");
    expect(pipelocks()).toEqual(expect.arrayContaining([...before.pipelock]));
    expect(pipelocks()).toHaveLength(2);
    answer();
    expect(await visiting).toBe("reached api.test/slow");
    await eventually("the former's end", () => (pipelocks().length === 1 ? true : undefined));
    expect(pipelocks()).not.toEqual(before.pipelock);
    expect(await bottle.egress()).toBe(before.egress);
    expect(await bottle.sidecar("pipelock")).toBe(before.sidecar);
  });

  it("that is taken back ends the pipelock that knew it, and what is in progress there", async () => {
    const before = { pipelock: pipelocks(), sidecar: await bottle.sidecar("pipelock") };
    const visiting = visit("https://api.test/slow");
    const answer = await eventually("the request", () => held.shift());
    const run = await operator.bottle(["inbox", "revoke", ticket]);
    expect(run, run.stderr).toMatchObject({ code: 0 });
    expect(await visiting).not.toContain("reached");
    answer();
    expect(await visit("https://asked.test/wanted")).toBe("host-not-allowed");
    expect(await visit("https://api.test/after")).toBe("reached api.test/after");
    expect(pipelocks()).toHaveLength(1);
    expect(pipelocks()).not.toEqual(before.pipelock);
    expect(await bottle.sidecar("pipelock")).toBe(before.sidecar);
  });
});

describe("while pipelock is down", () => {
  it("nothing leaves; egress stays, and pipelock comes back by itself", async () => {
    const egress = await bottle.egress();
    const before = reached.length;
    const [pid] = pipelocks();
    process.kill(realPid(pid), "SIGKILL");
    const denied = await eventually("a denial", async () => {
      const code = await visit("https://api.test/down");
      return code.startsWith("reached") ? undefined : code;
    }).catch((error: unknown) => error);
    // It may be back before anybody asks; then whatever came through came through the new one.
    if (typeof denied === "string") {
      expect(["upstream-unreachable", "upstream-proxy", "upstream-failed"]).toContain(denied);
      expect(reached.length).toBe(before);
    }
    await bottle.logged(({ event }) => event === "pipelock.died");
    await bottle.logged(({ event }) => event === "pipelock.restarted");
    expect(await visit("https://api.test/again")).toBe("reached api.test/again");
    expect(await bottle.egress()).toBe(egress);
    expect(pipelocks()).not.toContain(pid);
  });

  it("nothing leaves for as long as it cannot start", async () => {
    // Whoever has its port is not pipelock: what he opens is not believed.
    const sidecar = await bottle.sidecar("pipelock");
    process.kill(sidecar, "SIGSTOP");
    const [pid] = pipelocks();
    process.kill(realPid(pid), "SIGKILL");
    await eventually("its end", () => (pipelocks().length === 0 ? true : undefined));
    expect(["upstream-unreachable", "upstream-proxy", "upstream-failed"]).toContain(
      await visit("https://api.test/closed"),
    );
    expect(reached.map(({ url }) => url)).not.toContain("api.test/closed");
    process.kill(sidecar, "SIGCONT");
    await eventually("its return", async () =>
      (await visit("https://api.test/open")).startsWith("reached") ? true : undefined,
    );
  });
});

describe("pipelock's end", () => {
  it("is the keeper's", async () => {
    const [pid] = pipelocks();
    process.kill(realPid(bottle.keeper), "SIGKILL");
    await eventually("its end", () => (pipelocks().length === 0 ? true : undefined));
    await eventually("its burial", () => (existsSync(`/proc/${pid}`) ? undefined : true));
    expect((await operator.bottle(["cleanup", "--yes"])).code).toBe(0);
  });
});

describe("without a pipelock", () => {
  it("a bottle that wants one does not start, and is told so before anything exists", async () => {
    const run = await operator.bottle(["start", "worker", "--detach", "--yes"], {
      env: { SITE_TOKEN: TOKEN },
    });
    expect(run.code).toBe(1);
    expect(run.stderr).toContain("there is no pipelock on your PATH");
    expect(run.stderr).toContain("brew install");
    const { stdout } = await operator.bottle(["list", "--json"]);
    expect((JSON.parse(stdout) as { state: string }[]).filter(({ state }) => state === "running")).toEqual(
      [],
    );
  });

  it("one that ends at once is told in its own words", async () => {
    const bin = join(folder, "broken");
    const { mkdirSync, writeFileSync } = await import("node:fs");
    mkdirSync(bin);
    writeFileSync(join(bin, "pipelock"), "#!/bin/sh\necho 'Error: no such mode' >&2\nexit 3\n", {
      mode: 0o755,
    });
    const run = await operator.bottle(["start", "worker", "--detach", "--yes"], {
      env: { ...env, PATH: `${bin}:${operator.env["PATH"]}` },
    });
    expect(run.code).toBe(1);
    expect(run.stderr).toContain("pipelock did not start: pipelock ended (3): Error: no such mode");
  });
});
