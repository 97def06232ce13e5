/**
 * Kill -9, at every step of a push, of the gate and of each program that takes part: told ok means that upstream has it;
 * told refused, that it has not; told nothing, that the next fetch shows the truth. Nothing is left lying about, and
 * the gate works again.
 */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { GitGateConfig, GitUpstream } from "../../../src/contract/git-gate.ts";
import { bareUpstream, must, newFolder, OWN, run, siteConfig } from "../../support/git-gate.ts";
import { cloneFrom, type GateProcess, launchGate, leftovers, until } from "../../support/git-gate-process.ts";
import { type PausedPrograms, pausedPrograms } from "../../support/paused-programs.ts";
import { pidOf } from "../../support/pid-of.ts";
import { drawn } from "../../support/random.ts";
import { HAS_SSHD, type Sshd, startSshd } from "../../support/sshd.ts";
import { stallingRelay } from "../../support/stalling-relay.ts";

/** Where a push is held. */
type Step =
  /** By the wire, with half of the pack sent. */
  | { readonly kind: "wire" }
  /** In a program of the gate's. */
  | { readonly kind: "program"; readonly at: string; readonly when: "before" | "after" }
  /** In a hook: of the upstream, or of git in the mirror. */
  | {
      readonly kind: "hook";
      readonly of: "upstream" | "mirror";
      readonly name: string;
      readonly phase?: string;
    };

const program = (at: string, when: "before" | "after" = "before"): Step => ({ kind: "program", at, when });

const STEPS = {
  "upstream's refs are read": program("GET */info/refs*http-backend"),
  "half of the pack is there": { kind: "wire" },
  "the pack is there, and nobody has read it": program("POST *http-backend"),
  "the refs are judged": program("*cat-file --batch-check=%(objecttype)"),
  "the objects are looked at": program("*rev-list --objects *"),
  "the paths are looked at": program("*diff-tree *"),
  "it is to be forwarded": program("*push --porcelain *"),
  "the upstream judges it": { kind: "hook", of: "upstream", name: "pre-receive" },
  "the upstream moves its refs": {
    kind: "hook",
    of: "upstream",
    name: "reference-transaction",
    phase: "prepared",
  },
  "the upstream has taken it": { kind: "hook", of: "upstream", name: "post-receive" },
  "the upstream has said so, and the gate has not heard it": program("*push --porcelain *", "after"),
  "the mirror's refs are locked": {
    kind: "hook",
    of: "mirror",
    name: "reference-transaction",
    phase: "prepared",
  },
  "the mirror's refs have moved, and the client was not told": {
    kind: "hook",
    of: "mirror",
    name: "reference-transaction",
    phase: "committed",
  },
} as const satisfies Record<string, Step>;
type StepName = keyof typeof STEPS;

/** Who is killed, by a command line; the gate itself, and what is held in a program of ours, are known otherwise. */
const VICTIMS = {
  gate: undefined,
  "who is held": undefined,
  "http-backend": /http-backend/,
  "receive-pack": /receive-pack --stateless-rpc/,
  "index-pack": /index-pack/,
  "the hook": /hooks\/pre-receive/,
  "the forwarding git": /push --porcelain/,
  ssh: /^(?!.*ControlMaster=yes).*ssh -F .* git-receive-pack/,
  "ssh's connection": /ControlMaster=yes/,
  "the upstream's receive-pack": undefined,
} as const satisfies Record<string, RegExp | undefined>;
type Victim = keyof typeof VICTIMS;

const MATRIX: readonly (readonly [StepName, readonly Victim[]])[] = [
  ["upstream's refs are read", ["gate", "who is held"]],
  ["half of the pack is there", ["gate", "http-backend", "receive-pack", "index-pack"]],
  ["the pack is there, and nobody has read it", ["gate", "who is held"]],
  ["the refs are judged", ["gate", "who is held", "http-backend", "receive-pack", "the hook"]],
  ["the objects are looked at", ["gate", "who is held", "http-backend", "receive-pack", "the hook"]],
  ["the paths are looked at", ["gate", "who is held", "the hook"]],
  ["it is to be forwarded", ["gate", "who is held", "http-backend", "receive-pack", "the hook"]],
  [
    "the upstream judges it",
    [
      ...(["gate", "http-backend", "receive-pack", "the hook", "the forwarding git"] as const),
      ...(["ssh", "ssh's connection", "the upstream's receive-pack"] as const),
    ],
  ],
  ["the upstream moves its refs", ["gate", "the forwarding git", "the upstream's receive-pack"]],
  [
    "the upstream has taken it",
    ["gate", "the hook", "the forwarding git", "ssh", "ssh's connection", "the upstream's receive-pack"],
  ],
  [
    "the upstream has said so, and the gate has not heard it",
    ["gate", "who is held", "http-backend", "receive-pack", "the hook"],
  ],
  ["the mirror's refs are locked", ["gate", "http-backend", "receive-pack"]],
  ["the mirror's refs have moved, and the client was not told", ["gate", "http-backend", "receive-pack"]],
];
const ROWS = MATRIX.flatMap(([step, victims]) => victims.map((victim) => [victim, step] as const));
/** With `npm run soak -- git` all of them. */
const TRIED = 18;

interface World {
  readonly folder: string;
  readonly bare: string;
  readonly sshd: Sshd;
  readonly programs: PausedPrograms;
  readonly config: GitGateConfig;
}
let world: World;
let gate: GateProcess | undefined;

describe.skipIf(!HAS_SSHD || process.platform !== "linux")("kill -9", () => {
  beforeAll(async () => {
    const folder = newFolder();
    const bare = await bareUpstream();
    const sshd = await startSshd(join(folder, "sshd"));
    const upstream: GitUpstream = {
      ...{ kind: "ssh", user: sshd.user, host: "127.0.0.1", port: sshd.port, path: bare },
      ...{ key: { kind: "private-key", text: sshd.privateKey }, hostKeys: [sshd.hostKey] },
    };
    world = {
      ...{ folder, bare, sshd, config: siteConfig(folder, { upstream }) },
      programs: await pausedPrograms(folder),
    };
  });
  afterEach(async () => {
    world.programs.goOn();
    for (const hooks of [join(world.bare, "hooks"), join(world.folder, "state", "hooks")]) {
      for (const name of ["post-receive", "reference-transaction"])
        await rm(join(hooks, name), { force: true });
    }
    await rm(join(world.bare, "hooks", "pre-receive"), { force: true });
  });
  afterAll(async () => {
    await gate?.kill();
    world.sshd.close();
    for (const folder of [world.folder, dirname(world.bare)])
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  it.each(drawn("kill -9 during a push", ROWS, TRIED))("of %s while %s", async (victim, name) => {
    const step: Step = STEPS[name];
    const { folder, bare, programs, config } = world;
    gate ??= launchGate(config, { path: programs.path });
    const copy = await cloneFrom(gate, folder);
    await copy.git("fetch", "-q");
    await copy.git("checkout", "-q", "-B", "main", "origin/main");
    const id = await copy.commit({ "half.bin": randomBytes(step.kind === "wire" ? 600_000 : 100) });
    const branch = `b${ROWS.findIndex((row) => row[0] === victim && row[1] === name)}`;
    const ref = `${OWN}/${branch}`;
    const told = gate.messages.length;

    const held = await hold(step, gate);
    const pushing = run(["git", "-c", "http.postBuffer=65536", "push", held.url ?? "origin", `HEAD:${ref}`], {
      cwd: copy.folder,
    });
    await until(held.reached);
    const dead = victim === "gate" ? [pidOf(gate.child)] : await pidsOf(victim);
    expect(dead, victim).not.toEqual([]);
    for (const pid of dead) process.kill(pid, "SIGKILL");
    // Upstream's hook is its own: what is killed is not what it waits in.
    await new Promise((resolve) => setTimeout(resolve, 100));
    held.goOn();
    const { code, stderr } = await pushing;
    held.close();
    await until(upstreamAtRest);
    if (victim === "the upstream's receive-pack") await must(["find", bare, "-name", "*.lock", "-delete"]);

    const at = async (): Promise<string> =>
      (await run(["git", "--git-dir", bare, "rev-parse", "-q", "--verify", ref])).stdout.trim();
    const truth = await at();
    expect(["", id]).toContain(truth);
    if (code === 0) expect(truth, `told ok\n${stderr}`).toBe(id);
    const isRefused = /denied: |\[(?:remote )?rejected\]/.test(stderr);
    if (isRefused) expect(truth, `told no\n${stderr}`).toBe("");
    const events = gate.messages.slice(told).flatMap((each) => (each.type === "event" ? [each] : []));
    if (events.some(({ event }) => event === "git.pushed")) expect(truth, "on the log").toBe(id);
    if (events.some(({ event }) => event === "git.refused")) expect(truth, "on the log").toBe("");

    if (victim === "gate") {
      await gate.ended;
      await until(() => commandLines(folder).length === 0);
      gate = launchGate(config, { path: programs.path });
    }
    const again = await cloneFrom(gate, folder);
    await again.git("fetch", "-q", "--prune");
    const seen = await again.try("rev-parse", "-q", "--verify", `origin/bottle/coder-ab1cd/${branch}`);
    expect(seen.stdout.trim()).toBe(await at());
    await again.commit({ "more.txt": `${branch}\n` });
    expect(await again.try("push", "origin", `HEAD:${ref}`)).toMatchObject({ code: 0 });
    expect(await at()).toBe(await again.git("rev-parse", "HEAD"));
    expect(leftovers(join(folder, "state"))).toEqual([]);
    await must(["git", "--git-dir", join(folder, "state", "app.git"), "fsck", "--connectivity-only"]);
  });
});

interface Held {
  readonly reached: () => boolean;
  readonly goOn: () => void;
  readonly close: () => void;
  readonly url?: string;
}

async function hold(step: Step, on: GateProcess): Promise<Held> {
  const { programs, bare, folder } = world;
  const { reached, goOn } = programs;
  switch (step.kind) {
    case "wire": {
      const { listening } = await on.next("ready");
      const relay = await stallingRelay(Number(listening[0]?.split(":").at(-1)), 300_000);
      return {
        reached: () => relay.stalled() && commandLines(folder).some(([, line]) => /index-pack/.test(line)),
        goOn: () => relay.goOn(),
        close: () => relay.close(),
        url: `http://127.0.0.1:${relay.port}/app.git`,
      };
    }
    case "program":
      programs.pause(step);
      return { reached, goOn, close: () => {} };
    case "hook": {
      const hooks = join(step.of === "upstream" ? bare : join(folder, "state"), "hooks");
      const condition = step.phase === undefined ? "true" : `[ "$1" = ${step.phase} ]`;
      const text = `#!/bin/sh\nif ${condition}; then ${programs.wait} fi\n`;
      await writeFile(join(hooks, step.name), text, { mode: 0o755 });
      programs.pause({ at: "nothing", when: "before" });
      return { reached, goOn, close: () => {} };
    }
  }
}

async function pidsOf(victim: Exclude<Victim, "gate">): Promise<readonly number[]> {
  if (victim === "who is held") return world.programs.waiting();
  const find = (): number[] => {
    if (victim === "the upstream's receive-pack") {
      return commandLines().flatMap(([pid, line]) =>
        line.startsWith("git") && line.includes("receive-pack") && line.includes(world.bare) ? [pid] : [],
      );
    }
    const pattern = VICTIMS[victim];
    return commandLines(world.folder).flatMap(([pid, line]) => (pattern.test(line) ? [pid] : []));
  };
  return await until(() => {
    const found = find();
    return found.length > 0 && found;
  });
}

/** All processes, or those in the environment of this gate's git. */
function commandLines(folder?: string): readonly (readonly [pid: number, line: string])[] {
  return pids().flatMap((pid) => {
    try {
      const environment = folder === undefined ? "" : readFileSync(`/proc/${pid}/environ`, "latin1");
      if (folder !== undefined && !environment.includes(`GIT_CONFIG_GLOBAL=${folder}/state/gitconfig`))
        return [];
      return [[pid, readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ")] as const];
    } catch {
      return [];
    }
  });
}

const pids = (): readonly number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** Nobody works in the upstream any more. */
function upstreamAtRest(): boolean {
  return !pids().some((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === world.bare;
    } catch {
      return false;
    }
  });
}
