/**
 * I2, through the whole product: a bottle with an API token, a model's key and a value asked for at launch is
 * put to work; then the whole host, and the guest from inside, are searched for each of them.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type MessagesApi,
  startMessagesApi,
  startPlainSite,
  type Upstream,
} from "../../doubles/upstreams.ts";
import {
  BOTTLE,
  createRealOperator,
  isRoot,
  type RealBottle,
  type RealOperator,
} from "../../support/real-bottle.ts";
import {
  forMemory,
  type Needles,
  processTree,
  searchFiles,
  searchMemory,
  searchProcesses,
} from "../../support/real-host.ts";
import { openTerminal } from "../../support/real-terminal.ts";

/** Shaped like the real ones, and put together here so that no file holds one. */
function invented(...prefix: readonly string[]): string {
  return `${prefix.join("")}${randomBytes(24).toString("base64url")}`;
}

const TOKEN = invented("gh", "p_");
const PASSWORD = `robot:${invented()}`;
const MODEL_TOKEN = invented("sk-", "ant-", "oat01-");
/** The operator has it too, and this bottle does not use it. */
const UNUSED_KEY = invented("sk-", "ant-", "api03-");
const PROMPTED = invented("prompted-");

/** What only egress may know. */
const CREDENTIALS: Needles = {
  token: TOKEN,
  password: PASSWORD,
  "password in base64": Buffer.from(PASSWORD).toString("base64"),
  "model token": MODEL_TOKEN,
  "unused key": UNUSED_KEY,
};

/** Prints where in the guest a value is: its processes, and every file that the guest did not get from /usr. */
const SEARCH_INSIDE = `
const { readdirSync, readFileSync, lstatSync } = require("node:fs");
const needles = Object.entries(JSON.parse(readFileSync(0, "utf8")));
const found = [];
const look = (path) => {
  try {
    const content = readFileSync(path);
    for (const [name, value] of needles) if (content.includes(value)) found.push(name + " in " + path);
  } catch {}
};
const walk = (folder) => {
  let names = [];
  try { names = readdirSync(folder); } catch {}
  for (const name of names) {
    const path = folder + "/" + name;
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (stat.isDirectory()) walk(path);
    else if (stat.isFile() && stat.size < 64e6) look(path);
  }
};
for (const pid of readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)))
  for (const file of ["environ", "cmdline"]) look("/proc/" + pid + "/" + file);
for (const name of readdirSync("/"))
  if (!["proc", "sys", "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "dev"].includes(name)) walk("/" + name);
walk("/dev/shm");
console.log(JSON.stringify(found));
`;

let operator: RealOperator;
let api: MessagesApi;
let site: Upstream;
let bottle: RealBottle;
const since = Date.now();
const PLANTED = invented("planted-");
/** Where on the host each of them is while the bottle runs. One search for all: it reads whatever has changed. */
let found: readonly string[];
/** As egress has them in its memory, where that can be read. */
let keys: Needles;
let plantedBy: number | undefined;

const secretEnv = {
  API_TOKEN: TOKEN,
  PASSWORD,
  CLAUDE_CODE_OAUTH_TOKEN: MODEL_TOKEN,
  ANTHROPIC_API_KEY: UNUSED_KEY,
};

beforeAll(async () => {
  operator = await createRealOperator();
  const { authority } = operator;
  api = await startMessagesApi({
    tls: await authority.issue(["api.anthropic.com"]),
    credentials: [{ header: "authorization", value: `Bearer ${MODEL_TOKEN}` }],
    script: [{ text: "Hello." }],
  });
  site = await startPlainSite({ tls: await authority.issue(["token.test", "basic.test"]) });
  const to = `127.0.0.1:${site.port}`;
  operator.agent("holder", {
    agent_provider: { template: "claude" },
    env: { ASKED: "?what is it" },
    egress: {
      upstream_ca: [operator.caFile],
      routes: [
        { host: "api.anthropic.com", connect_to: `127.0.0.1:${api.port}` },
        { host: "token.test", connect_to: to, auth: { scheme: "Bearer", token_ref: "API_TOKEN" } },
        { host: "basic.test", connect_to: to, auth: { scheme: "Basic", token_ref: "PASSWORD" } },
      ],
    },
  });
  // Asked for on a terminal; its end leaves a keeper that no terminal holds.
  const terminal = openTerminal(
    [
      "sh",
      "-c",
      'ulimit -S -c "$(ulimit -H -c)"; exec "$@"',
      "sh",
      process.execPath,
      BOTTLE,
      "start",
      "holder",
      "--detach",
      "--yes",
      "--cwd",
    ],
    { cwd: operator.repository, env: { ...operator.env, ...secretEnv } },
  );
  await terminal.shows("ASKED: what is it");
  terminal.type(`${PROMPTED}\r`);
  expect(await terminal.exit).toBe(0);
  expect(terminal.raw()).not.toContain(PROMPTED);
  // On a terminal, progress may share the line.
  const id =
    terminal
      .raw()
      .match(/holder-[a-z0-9]{5}\b/g)
      ?.at(-1) ?? "";
  bottle = await operator.adopt(id);

  // Everything that handles a credential has done so before anything is searched.
  for (const host of ["token.test", "basic.test"]) await bottle.sh(`curl -sS -o /dev/null https://${host}/`);
  await bottle.exec("curl", "-sS", "https://elsewhere.test/");
  await bottle.sh("echo work > made.txt");
  await operator.bottle(["diff", bottle.id]);

  writeFileSync(plantedFile(), `x${PLANTED}y`);
  const child = spawn("sleep", ["60"], { env: { PLANTED }, argv0: `sleep-${PLANTED}` });
  plantedBy = child.pid;
  keys = isRoot ? privateKeysIn(await bottle.egress()) : {};
  found = hostSearch({ planted: PLANTED, ...CREDENTIALS, asked: PROMPTED, ...keys });
  child.kill();
  writeFileSync(plantedFile(), "");
}, 120_000);
afterAll(async () => {
  await operator.remove();
  await api.close();
  await site.close();
});

/** Where anything of ours could have written. */
const folders = (): readonly string[] => [
  ...new Set([operator.root, tmpdir(), "/dev/shm", "/var/tmp", operator.env["BOT_BOTTLE_CACHE"] ?? ""]),
];

/** Guest processes have the asked-for value: it was given to the agent. */
function hostSearch(needles: Needles): readonly string[] {
  return [...searchProcesses(needles), ...searchFiles(needles, folders(), since)];
}

describe("I2: while the bottle runs", () => {
  it("control: the credentials do reach the upstreams", () => {
    const sent = site.requests.map(({ headers }) => headers.authorization);
    expect(sent).toEqual([`Bearer ${TOKEN}`, `Basic ${Buffer.from(PASSWORD).toString("base64")}`]);
  });

  it("control: the search finds a value in an argument, an environment and a file", async () => {
    expect(places("planted")).toEqual(
      expect.arrayContaining([`cmdline of ${plantedBy}`, `environ of ${plantedBy}`, plantedFile()]),
    );
    const inside = await bottle.sh(`echo ${PLANTED} > /tmp/planted; echo`);
    expect(inside).toBe("");
    expect(await insideSearch({ planted: PLANTED })).toEqual(["planted in /tmp/planted"]);
  });

  it("no credential is in any argument, environment, file or log of the host", () => {
    expect(Object.keys(CREDENTIALS).flatMap(places)).toEqual([]);
  });

  it("the value that was asked for is in the guest's environments and nowhere else", async () => {
    const guest = processTree(bottle.keeper).filter((pid) => isGuest(pid));
    expect(places("asked").length).toBeGreaterThan(0);
    expect(places("asked").filter((where) => !guest.some((pid) => where === `environ of ${pid}`))).toEqual(
      [],
    );
  });

  it("no credential is in the guest: not in a process, not in a file that it can read", async () => {
    expect(await insideSearch(CREDENTIALS)).toEqual([]);
    expect((await insideSearch({ asked: PROMPTED })).every((where) => where.includes("/environ"))).toBe(true);
    const environment = await bottle.sh("env");
    expect(environment).toContain("CLAUDE_CODE_OAUTH_TOKEN=placeholder");
    expect(environment).toContain(`ASKED=${PROMPTED}`);
  });

  it("what the operator is shown has none of it", async () => {
    const commands = [
      ["start", "holder", "--dry-run"],
      ["start", "holder", "--dry-run", "--json"],
      ["list", "--json"],
      ["info", "holder"],
      ["logs", bottle.id],
      ["audit", "verify", bottle.id],
      ["doctor"],
    ];
    for (const args of commands) {
      const { stdout, stderr, code } = await operator.bottle(args, { env: secretEnv });
      expect(code, args.join(" ")).toBe(0);
      for (const [name, value] of Object.entries({ ...CREDENTIALS, asked: PROMPTED }))
        expect(`${stdout}${stderr}`.includes(value.toString()), `${name} in bottle ${args.join(" ")}`).toBe(
          false,
        );
    }
  });

  it("nothing that holds a secret leaves a core dump", async () => {
    const pids = [bottle.keeper, await bottle.egress(), ...processTree(bottle.keeper)];
    for (const pid of pids) {
      const limits = readFileSync(`/proc/${pid}/limits`, "utf8");
      expect(/^Max core file size +0 /m.exec(limits)?.[0], commandOf(pid)).toBeDefined();
    }
  });
});

describe.runIf(isRoot)("I2: in memory", () => {
  it("egress holds what its routes present and what must not leave, and nothing else; the guest holds no credential", async () => {
    const needles = { ...CREDENTIALS, asked: PROMPTED };
    const egress = await bottle.egress();
    const held = searchMemory(needles, egress);
    expect(held).toEqual(expect.arrayContaining(["model token", "password in base64", "token"]));
    // The agent has it, and egress must know what it is to stop.
    expect(held).toContain("asked");
    expect(held).not.toContain("unused key");
    const guest = processTree(bottle.keeper).filter((pid) => isGuest(pid) && pid !== egress);
    expect(guest.length).toBeGreaterThan(2);
    const inGuest = guest.flatMap((pid) => searchMemory(needles, pid));
    expect(new Set(inGuest)).toEqual(new Set(["asked"]));
  });

  it("the CA's private key is in keeper and egress, and on no disk and in no guest", async () => {
    expect(Object.keys(keys).length).toBeGreaterThan(0);
    expect(Object.keys(keys).flatMap(places)).toEqual([]);
    const guest = processTree(bottle.keeper).filter((pid) => isGuest(pid));
    for (const pid of guest) expect(searchMemory(keys, pid)).toEqual([]);
    expect(
      await insideSearch(
        Object.fromEntries(Object.entries(keys).filter(([, value]) => typeof value === "string")),
      ),
    ).toEqual([]);
  });
});

describe("I2: after the bottle has ended", () => {
  it("nothing of it is anywhere", async () => {
    const tree = processTree(bottle.keeper);
    expect((await bottle.stop()).code).toBe(0);
    expect(hostSearch({ ...CREDENTIALS, asked: PROMPTED })).toEqual([]);
    expect(tree.filter((pid) => commandOf(pid) !== "")).toEqual([]);
  }, 180_000);
});

function plantedFile(): string {
  return join(operator.home, "state", bottle.id, "planted");
}

/** Where one of them was found. */
function places(name: string): readonly string[] {
  const prefix = `${name} in `;
  return found.filter((place) => place.startsWith(prefix)).map((place) => place.slice(prefix.length));
}

async function insideSearch(needles: Needles): Promise<readonly string[]> {
  const { stdout, stderr, code } = await operator.bottle(
    ["exec", "-T", bottle.id, "--", "node", "-e", SEARCH_INSIDE],
    { stdin: JSON.stringify(needles) },
  );
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as string[];
}

/** In the guest's network, which no sidecar is in. */
function isGuest(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`) !== readlinkSync("/proc/self/ns/net");
  } catch {
    return false;
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** What a P-256 key in PKCS #8 begins with; its secret number follows. */
const PKCS8_START = Buffer.from(
  "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420",
  "hex",
);

/** Twelve bytes of each private key that the process's memory has as PEM: as base64, and as they are. */
function privateKeysIn(pid: number): Needles {
  const start = PKCS8_START.toString("base64");
  const keys: Record<string, string | Buffer> = {};
  forMemory(pid, (piece) => {
    for (let at = piece.indexOf(start); at >= 0; at = piece.indexOf(start, at + 1)) {
      const base64 = piece.subarray(at + start.length, at + start.length + 16).toString("latin1");
      if (!/^[A-Za-z0-9+/]{16}$/.test(base64)) continue;
      keys[`key ${base64}`] = base64;
      keys[`bytes of key ${base64}`] = Buffer.from(base64, "base64");
    }
  });
  return keys;
}
