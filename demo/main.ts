/**
 * Shows a bottle at work, offline: a real agent in a real bottle, asked by a stand-in of its model to look
 * around, and what came of it. Every line of the table is looked at, none is assumed; one wrong line and the
 * exit code is 1.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { constants, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Watch, watchHost } from "./host-state.ts";
import { PROBE_FILE } from "./probe-script.ts";
import { makeCertificateAuthority } from "./upstreams/certificate-authority.ts";
import { type MessagesApi, startMessagesApi } from "./upstreams/messages-api.ts";
import { startPlainSite } from "./upstreams/plain-site.ts";
import type { Upstream } from "./upstreams/tls-upstream.ts";
import {
  ALLOWED_HOST,
  DENIED_HOST,
  type DemoPlaces,
  git,
  makePlaces,
  makeRepository,
  writeManifests,
} from "./workspace.ts";

const BOTTLE = join(dirname(fileURLToPath(import.meta.url)), "bottle.js");
const LAST_WORDS = "I looked around, and wrote hello.txt.";
const HELLO_FILE = "hello.txt";
const HELLO = "hello from inside the bottle";
/** A refusal that takes longer is a time-out by another name. */
const AT_ONCE_MS = 1_000;

interface Line {
  readonly what: string;
  readonly seen: string;
  readonly holds: boolean;
}

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Finding {
  readonly check: string;
  readonly outcome: unknown;
  readonly milliseconds: number;
}

async function main(): Promise<number> {
  const json = process.argv.includes("--json");
  const backend = askedBackend();
  // Contained sidecars find this machine under another name, and not its loopback.
  const host = backend === "docker" ? { host: "0.0.0.0" } : {};
  // The socket paths below it must stay short.
  const root = realpathSync(mkdtempSync(join(tmpdir(), "bb-demo-")));
  const places = makePlaces(root);
  const secret = `sk-ant-${"api03"}-${randomBytes(24).toString("base64url")}`;
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  let lines: readonly Line[];
  let isOver = false;
  const closing: (() => Promise<void>)[] = [];
  try {
    makeRepository(places.repository);
    const canary = await startCanary();
    closing.push(canary.close);
    const command = shellCommand(canary.port);
    const authority = await makeCertificateAuthority("bot-bottle demo");
    const caFile = join(root, "upstream-ca.pem");
    writeFileSync(caFile, authority.certificate);
    const api = await startMessagesApi({
      ...host,
      tls: await authority.issue(["api.anthropic.com"]),
      credentials: [{ header: "x-api-key", value: secret }],
      script: [{ tool: "Bash", input: { command, description: "Look around" } }, { text: LAST_WORDS }],
    });
    closing.push(() => api.close());
    const site = await startPlainSite({ ...host, tls: await authority.issue([ALLOWED_HOST]) });
    closing.push(() => site.close());
    const reach = backend === "docker" ? "host.docker.internal" : "127.0.0.1";
    const ports = { apiPort: api.port, sitePort: site.port, caFile, reach };

    writeManifests(places, ports, undefined);
    const watch = watchHost();
    closing.push(async () => watch.stop());
    say("a real Claude Code, in a real bottle, whose model is a stand-in on this machine");
    let agent = "claude";
    let run = await startAgent(places, backend, secret, say);
    if (
      /cannot be installed|could not be installed|npm/.test(run.stderr) &&
      api.requests.length === 0 &&
      run.code !== 0
    ) {
      say(run.stderr.trim());
      say("Claude Code cannot be installed here, so a shell takes its place");
      writeManifests(places, ports, `${command}; echo ${JSON.stringify(LAST_WORDS)}`);
      agent = "shell";
      run = await startAgent(places, backend, secret, say);
    }
    lines = await judge({ root, places, backend, watch, run, agent, api, site, secret });
    isOver = true;
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    say("interrupted");
    return 128 + constants.signals[interrupted.signal.reason as NodeJS.Signals];
  } finally {
    if (!isOver) await removeBottles(places);
    for (const close of closing.reverse()) await close();
    rmSync(root, { recursive: true, force: true });
  }
  const holds = lines.every((line) => line.holds);
  if (json) process.stdout.write(`${JSON.stringify({ holds, lines }, null, 2)}\n`);
  else printLines(lines);
  return holds ? 0 : 1;
}

/** The terminal sends Ctrl-C to the bottle's command as well, which ends the agent at the second one. */
const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interrupted.abort(signal));

/** What the engine and the kernel have of a bottle lies in no folder of the demo's. */
async function removeBottles(places: DemoPlaces): Promise<void> {
  const { stdout } = await bottle(places, ["list", "--json"], { evenSo: true });
  const ids = (JSON.parse(stdout || "[]") as readonly { readonly id: string }[]).map(({ id }) => id);
  if (ids.length > 0) await bottle(places, ["rm", "--force", ...ids], { evenSo: true });
}

function shellCommand(canaryPort: number): string {
  return [
    `node ${PROBE_FILE} ${ALLOWED_HOST} ${DENIED_HOST} ${canaryPort}`,
    `echo ${JSON.stringify(HELLO)} > ${HELLO_FILE}`,
    `git add ${HELLO_FILE}`,
    'git commit --quiet --message="Say hello"',
  ].join(" && ");
}

/** A listener on the host's loopback that a guest must not be able to reach, and the host can. */
async function startCanary(): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port, close: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** `--backend`, else the environment's, else the one that needs nothing but this machine. */
function askedBackend(): string | undefined {
  const flag = process.argv.indexOf("--backend");
  const asked = flag < 0 ? process.env["BOT_BOTTLE_BACKEND"] : process.argv[flag + 1];
  if (asked !== undefined && asked !== "") return asked;
  return process.platform === "linux" ? "namespace" : undefined;
}

function startAgent(
  places: DemoPlaces,
  backend: string | undefined,
  secret: string,
  say: (text: string) => void,
): Promise<Run> {
  const on = backend === undefined ? [] : ["--backend", backend];
  const task = "Look around, then say what you did.";
  return bottle(places, ["start", "demo", ...on, "--cwd", "--prompt", task], {
    env: { ANTHROPIC_API_KEY: secret },
    onStderr: say,
  });
}

function bottle(
  places: DemoPlaces,
  args: readonly string[],
  options: {
    readonly env?: Record<string, string>;
    readonly onStderr?: (text: string) => void;
    /** To take down what was begun. */
    readonly evenSo?: true;
  } = {},
): Promise<Run> {
  if (options.evenSo !== true) interrupted.signal.throwIfAborted();
  const { CLAUDE_CODE_OAUTH_TOKEN: _token, ...inherited } = process.env;
  const child = spawn(process.execPath, [BOTTLE, ...args], {
    cwd: places.repository,
    env: { ...inherited, BOT_BOTTLE_HOME: places.home, XDG_RUNTIME_DIR: places.runtime, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    // A terminal's Ctrl-C is not for what removes the rest.
    detached: options.evenSo === true,
  });
  const end = (): void => void child.kill("SIGINT");
  if (options.evenSo !== true) interrupted.signal.addEventListener("abort", end);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString("utf8");
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString("utf8");
    options.onStderr?.(chunk.toString("utf8").trimEnd());
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      interrupted.signal.removeEventListener("abort", end);
      if (options.evenSo !== true && interrupted.signal.aborted) reject(interrupted.signal.reason);
      else resolve({ code, stdout, stderr });
    });
  });
}

async function judge(seen: {
  readonly root: string;
  readonly places: DemoPlaces;
  readonly backend: string | undefined;
  readonly watch: Watch;
  readonly run: Run;
  readonly agent: string;
  readonly api: MessagesApi;
  readonly site: Upstream;
  readonly secret: string;
}): Promise<readonly Line[]> {
  const { root, places, backend, run, agent, api, site, secret } = seen;
  const id = /^bottle (\S+)$/m.exec(run.stderr)?.[1] ?? "?";
  const output = agent === "claude" ? api.toolResults().join("\n") : run.stdout;
  const findings = findingsIn(output);
  const found = (check: string): Finding =>
    findings.get(check) ?? { check, outcome: "not looked at", milliseconds: 0 };
  const credentials = api.requests
    .filter((request) => request.method === "POST")
    .map((request) => request.headers["x-api-key"]);
  const refused = (what: string, check: string, codes: readonly string[]): Line => {
    const { outcome, milliseconds } = found(check);
    return {
      what,
      seen: `${String(outcome)} after ${milliseconds} ms`,
      holds: codes.includes(String(outcome)) && milliseconds < AT_ONCE_MS,
    };
  };
  const denied = found("denied");
  const lines: Line[] = [
    {
      what: `the agent (${agent}) answered`,
      seen: lastLine(run.stdout),
      holds: run.code === 0 && run.stdout.includes(LAST_WORDS),
    },
    ...(agent === "claude"
      ? [
          {
            what: "its model saw the real key",
            seen: `${credentials.length} requests`,
            holds: credentials.length >= 2 && credentials.every((value) => value === secret),
          },
        ]
      : []),
    {
      what: "the agent never did",
      seen: findings.has("environment")
        ? "not in its environment, nor in anything it sent or wrote"
        : "not looked at",
      holds:
        findings.has("environment") &&
        !output.includes(secret) &&
        api.requests.every(({ body }) => !body.includes(secret)),
    },
    {
      what: "an allowed site answered",
      seen: JSON.stringify(found("allowed").outcome),
      holds: statusOf(found("allowed").outcome) === 200 && site.requests.length > 0,
    },
    {
      what: "another was denied, by name",
      seen: JSON.stringify(denied.outcome),
      holds: statusOf(denied.outcome) === 403 && (denied.outcome as { denied?: string }).denied !== undefined,
    },
    // A machine with a gateway of its own is refused by that, all others by their kernel.
    refused("a direct address was refused", "direct", ["ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED"]),
    refused("a name did not resolve", "dns", ["ENOTFOUND", "EAI_AGAIN", "EAI_FAIL"]),
    refused("the host's loopback was refused", "host-loopback", ["ECONNREFUSED"]),
  ];

  const pull = await bottle(places, ["pull", id]);
  const refs = git(places.repository, "for-each-ref", "--format=%(refname)", `refs/bottles/${id}/`).split(
    "\n",
  );
  const head = refs.find((ref) => ref.endsWith("/heads/main"));
  const content = head === undefined ? "" : git(places.repository, "show", `${head}:${HELLO_FILE}`);
  lines.push({
    what: "its work came out by pull",
    seen: `${head ?? pull.stderr.trim()}: ${content}`,
    holds: content === HELLO,
  });

  const audit = await bottle(places, ["audit", "verify", id]);
  lines.push({
    what: "the log is whole and signed",
    seen: audit.stdout.split("\n")[0] ?? "",
    holds: audit.code === 0,
  });

  const rm = await bottle(places, ["rm", id]);
  // The operator's own: manifests, the repository with what was pulled, the upstreams' CA; and the log, which stays.
  const kept = ["home/agents/", "home/bottles/", "home/audit/", "project/", "upstream-ca.pem"].map((path) =>
    join(root, path),
  );
  const left = seen.watch
    .leftovers(root)
    .filter((entry) => !kept.some((path) => entry.startsWith(`file ${path}`)));
  lines.push({
    what: "nothing is left but the log",
    seen:
      left.length === 0
        ? `gone: ${seen.watch.processes()} processes, ${seen.watch.namespaces()} namespaces, every mount, socket and file`
        : left.join("; "),
    // Others have theirs made by an engine or a kernel of their own, whose they are.
    holds:
      rm.code === 0 &&
      left.length === 0 &&
      seen.watch.processes() > 0 &&
      (seen.watch.namespaces() > 0 || backend !== "namespace"),
  });
  return lines;
}

function findingsIn(output: string): ReadonlyMap<string, Finding> {
  const findings = output.split("\n").flatMap((line): Finding[] => {
    try {
      const value = JSON.parse(line) as Finding;
      return typeof value.check === "string" ? [value] : [];
    } catch {
      return [];
    }
  });
  return new Map(findings.map((finding) => [finding.check, finding]));
}

function statusOf(outcome: unknown): number | undefined {
  return typeof outcome === "object" && outcome !== null && "status" in outcome
    ? (outcome.status as number)
    : undefined;
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}

function printLines(lines: readonly Line[]): void {
  const width = Math.max(...lines.map(({ what }) => what.length));
  process.stdout.write("\n");
  for (const { what, seen, holds } of lines) {
    process.stdout.write(`${holds ? "ok  " : "FAIL"}  ${what.padEnd(width)}  ${seen.slice(0, 120)}\n`);
  }
}

process.exitCode = await main();
