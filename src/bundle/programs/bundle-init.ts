/**
 * What runs in the bundle's container: it starts the sidecars that it is told to, each with an empty environment, and
 * carries what the keeper says to each of them and what they answer. It holds no secret longer than the line it is in.
 * One that dies is reported, and the others go on; whether it starts again is the keeper's to say, which has what it
 * must be told. Each is a user of its own, so that one that was taken over reads nothing of another's; for that alone
 * this is root, with the rights to start somebody as another user and to end them. When stdin ends the keeper is gone,
 * and everything here with it (I9).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { SIDECAR_NAMES, type SidecarName } from "../../contract/backend.ts";
import {
  DAEMONS_VARIABLE,
  framed,
  type InitReport,
  initOrderSchema,
  parseFramed,
} from "../../contract/bundle-container.ts";
import { readLines } from "../../lib/json-lines.ts";

/** Between the polite end and the other one; below the ten seconds that `docker stop` waits. */
const GRACE_MS = 8_000;
/** V8's heap; what is streamed lives outside of it. */
const HEAP_MEGABYTES = 256;
/** EX_USAGE of sysexits(3). */
const BAD_USE = 64;

// Nothing that one of them writes is for another.
process.umask(0o077);
const running = new Map<SidecarName, ChildProcess>();
const allowed = allowedDaemons(process.env[DAEMONS_VARIABLE]);

function allowedDaemons(list: string | undefined): readonly SidecarName[] {
  if (list === undefined) return SIDECAR_NAMES;
  const wanted = list.split(",").map((name) => name.trim());
  const named = wanted.filter((name) => name !== "");
  const unknown = named.filter((name) => !(SIDECAR_NAMES as readonly string[]).includes(name));
  if (unknown.length > 0) {
    process.stderr.write(
      `${DAEMONS_VARIABLE} names ${unknown.join(", ")}, which is no sidecar; there are ${SIDECAR_NAMES.join(", ")}\n`,
    );
    process.exit(BAD_USE);
  }
  return SIDECAR_NAMES.filter((name) => named.includes(name));
}

function report(message: InitReport): void {
  process.stdout.write(framed("init", JSON.stringify(message)));
}

function start(name: SidecarName, uid: number): void {
  if (!allowed.includes(name) || running.has(name)) {
    report({ ended: name, reason: "it may not be started" });
    return;
  }
  const child = spawn(
    process.execPath,
    [
      ...[`--max-old-space-size=${HEAP_MEGABYTES}`, "--disallow-code-generation-from-strings"],
      ...[new URL("../bottle.js", import.meta.url).pathname, "sidecar", name],
    ],
    {
      ...{ cwd: "/", uid, gid: uid },
      env: process.env["PATH"] === undefined ? {} : { PATH: process.env["PATH"] },
    },
  );
  running.set(name, child);
  child.stdin.on("error", () => {});
  child.on("error", (error) => child.emit("close", null, error.message));
  const output = Promise.all([
    forward(child.stdout, process.stdout, name),
    forward(child.stderr, process.stderr, name),
    // Nobody can follow what it says any more, so it may not go on.
  ]).catch(() => child.kill("SIGKILL"));
  child.once("close", (code, signal) => {
    running.delete(name);
    void output.then(() => report({ ended: name, reason: `${name} ended (${signal ?? code})` }));
  });
  if (child.pid !== undefined) report({ started: name, pid: child.pid });
}

/** @throws LineTooLongError for a line without an end. */
async function forward(from: Readable, to: Writable, name: SidecarName): Promise<void> {
  for await (const line of readLines(from)) {
    if (!to.write(framed(name, line))) await once(to, "drain");
  }
}

function obey(rest: string): void {
  const order = initOrderSchema.safeParse(parseJson(rest));
  if (!order.success) return;
  const { data } = order;
  if ("start" in data) start(data.start, data.uid);
  else if ("end" in data) running.get(data.end)?.stdin?.end();
  else running.get(data.kill)?.kill("SIGKILL");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A signal's end is polite to all: they finish what they are at. */
function stopAll(tell: (child: ChildProcess) => void): void {
  const last = setTimeout(() => {
    for (const child of running.values()) child.kill("SIGKILL");
  }, GRACE_MS);
  const ends = [...running.values()].map((child) => new Promise((resolve) => child.once("close", resolve)));
  for (const child of running.values()) tell(child);
  void Promise.all(ends).then(() => {
    clearTimeout(last);
    process.exit(0);
  });
}

process.stdout.on("error", () => process.exit(0));
process.stderr.on("error", () => {});
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => stopAll((child) => child.kill("SIGTERM")));
}
report({ daemons: [...allowed] });
for await (const line of readLines(process.stdin)) {
  const message = parseFramed(line);
  if (message === undefined) continue;
  if (message.name === "init") obey(message.rest);
  else running.get(message.name as SidecarName)?.stdin?.write(`${message.rest}\n`);
}
stopAll((child) => child.stdin?.end());
