/** `bottle attack` on every backend of this machine: every probe is tried, every control succeeds, and nothing gets out. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { GROUPS, type Group, INVARIANTS } from "../../src/attack/probe.ts";
import { PROBES } from "../../src/attack/probes/all.ts";
import { namespaceBackend } from "../../src/backends/namespace/backend.ts";
import type { BackendName } from "../../src/contract/isolation.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { eventually } from "../support/bottle-cli.ts";
import {
  engineLack,
  engineVariables,
  gvisorLack,
  startEngine,
  type TestEngine,
} from "../support/docker-engine.ts";
import { podmanLack, startPodman } from "../support/podman-engine.ts";
import { BOTTLE, isRoot, runProgram } from "../support/real-bottle.ts";
import { installSmolvm, realSmolvm } from "../support/smolvm.ts";
import { VM_CACHE, vmLack } from "../support/vm-host.ts";

/** An emulated machine takes its time, and so does gVisor; namespaces take a minute. */
const TIMEOUT_MS = (process.env["SOAK"] === undefined ? 25 : 50) * 60_000;
/** A program that nobody ended would have written by then. */
const LATE_MS = 1_500;

const resultSchema = z.strictObject({
  id: z.string(),
  invariant: z.enum(INVARIANTS),
  group: z.enum(GROUPS),
  tries: z.string().min(1),
  expected: z.string().min(1),
  seen: z.string().min(1),
  seconds: z.number().min(0),
  refusalSeconds: z.number().min(0).nullable(),
  control: z.string().min(1),
  held: z.boolean(),
  outcome: z.enum(["held", "stated", "escaped", "slow", "unexplained", "no-control", "not-run"]),
  why: z.string().min(1).optional(),
});
const outputSchema = z.strictObject({
  holds: z.boolean(),
  reports: z.array(
    z.strictObject({
      backend: z.string(),
      capabilities: z.record(z.string(), z.boolean()),
      results: z.array(resultSchema),
      probes: z.number(),
      problems: z.array(z.string()),
      seconds: z.number(),
      holds: z.boolean(),
    }),
  ),
});

/** Where runs have their folders: what is left of one is seen, and nobody else's. */
const folder = mkdtempSync(join(tmpdir(), "bbt-"));
const env = {
  ...Object.fromEntries(Object.entries(process.env).map(([name, value]) => [name, value ?? ""])),
  TMPDIR: folder,
};
afterAll(() => removeTree(folder));

function bottle(...args: readonly string[]) {
  return bottleIn(env, args);
}

function bottleIn(env: Readonly<Record<string, string>>, args: readonly string[]) {
  return runProgram([process.execPath, BOTTLE, ...args], { env, timeoutMs: TIMEOUT_MS });
}

interface JUnit {
  readonly tag: string;
  readonly tests: string;
  readonly failures: string;
  /** Suite, name, class, seconds. */
  readonly cases: readonly (readonly [string, string, string, number])[];
}

/** As a parser takes it that is not ours. */
function junitOf(xml: string): JUnit {
  const read = `import sys, json, xml.etree.ElementTree as t
root = t.fromstring(sys.stdin.read())
print(json.dumps({"tag": root.tag, **root.attrib, "cases": [[s.attrib["name"], c.attrib["name"], c.attrib["classname"], float(c.attrib["time"])] for s in root for c in s]}))`;
  return JSON.parse(execFileSync("python3", ["-c", read], { input: xml, encoding: "utf8" })) as JUnit;
}

interface Tried {
  readonly backend: BackendName;
  /** Below it. */
  readonly on?: string;
  readonly lack: string | undefined;
  /** Groups of its probes that are not tried. */
  readonly but?: readonly Group[];
  /** Probes that get through on what stands in for the real thing here, which has what they miss. */
  readonly lacking?: readonly string[];
  start(): Promise<{ readonly env: Readonly<Record<string, string>>; close(): Promise<void> }>;
}

const nothing = async (): Promise<void> => {};
const namespaces = await namespaceBackend.probe();
const ownCache = process.env["BOT_BOTTLE_CACHE"];
const machinesLack = await vmLack();
// The others keep to the cache that they had.
if (ownCache === undefined) delete process.env["BOT_BOTTLE_CACHE"];
else process.env["BOT_BOTTLE_CACHE"] = ownCache;

/** Of the stand-in where there is no real smolvm: its guests' kernel is the host's, and so is their memory. */
const MACHINES: Tried = {
  backend: "smolmachines",
  ...(realSmolvm() === undefined && { lacking: ["resource-memory"] }),
  lack: isRoot && existsSync("/dev/kvm") ? undefined : "it takes root and /dev/kvm",
  start: async () => {
    const bin = mkdtempSync("/var/tmp/bbv-");
    const PATH = `${realSmolvm() === undefined ? installSmolvm(bin, "1.9.3") : bin}:${process.env["PATH"]}`;
    return { env: { PATH }, close: () => removeTree(bin) };
  },
};

const GVISOR: Tried = {
  ...{ backend: "docker", on: "gVisor", lack: gvisorLack() },
  start: () => engineWorld(startEngine({ gvisor: true })),
};
const PODMAN: Tried = {
  ...{ backend: "docker", on: "podman", lack: podmanLack() },
  start: () => engineWorld(startPodman()),
};

async function engineWorld(starting: Promise<Pick<TestEngine, "env" | "close">>) {
  const engine = await starting;
  return { env: engineVariables(engine), close: engine.close };
}

const TRIED: readonly Tried[] = [
  {
    backend: "namespace",
    lack: namespaces.usable ? undefined : namespaces.lacks.map(({ what }) => what).join("; "),
    start: async () => ({ env: {}, close: nothing }),
  },
  {
    backend: "docker",
    lack: engineLack(),
    start: () => engineWorld(startEngine()),
  },
  {
    backend: "qemu",
    lack: machinesLack,
    // What is asked of sidecars, and what wears a guest out, takes minutes where it is emulated; those are the same as above. In a soak.
    ...(process.env["SOAK"] === undefined && {
      but: ["proxy", "exfiltration", "pushes", "resources"] as const,
    }),
    start: async () => ({ env: { BOT_BOTTLE_CACHE: VM_CACHE }, close: nothing }),
  },
  // Minutes: `npm run soak -- attack`.
  ...(process.env["SOAK"] === undefined ? [] : [MACHINES, GVISOR, PODMAN]),
];

interface Stated {
  /** What succeeds in a guest, because its backend has not what would refuse it; the report has the reason. */
  readonly ofBackend: readonly string[];
  /** What some machine cannot do outside of a bottle either. */
  readonly ofMachine: readonly string[];
}

const NO_SUCH_CODE = [
  ...["protocol-bluetooth", "protocol-crypto-socket", "protocol-sctp", "file-sysrq"],
  ...["protocol-dccp-socket", "protocol-l2tp-socket", "protocol-sctp-socket"],
];
const NOT_EVEN_ROOT = ["kernel-kexec", "kernel-module", "kernel-module-file"];

/** Where everything is there that a host can give. */
const STATED: Readonly<Record<string, Stated>> = {
  namespace: {
    ofBackend: ["own-mcp-bearer"],
    ofMachine: [...NO_SUCH_CODE, ...NOT_EVEN_ROOT, "left-listeners"],
  },
  // With Debian 12's engine, and without a network around its containers.
  docker: {
    ofBackend: [
      ...["file-sys", "kernel-io-uring", "kernel-line-discipline", "kernel-paste-into-console"],
      ...[
        "kernel-type-into-terminal",
        "own-mcp-bearer",
        "protocol-multipath-socket",
        "protocol-netlink-audit",
      ],
      ...["protocol-udplite-socket", "protocol-vsock", "resource-descriptors"],
    ],
    ofMachine: [
      ...[...NO_SUCH_CODE, ...NOT_EVEN_ROOT, "left-groups", "left-listeners"],
      ...["file-folders", "file-shadow", "file-system", "name-configured", "name-stub"],
      "operator-resolvers",
    ],
  },
  // Its kernel is its own, and nobody filters what is asked of that. Those that are also late are told apart.
  qemu: {
    ofBackend: [
      ...["file-kernel-settings", "file-set-id", "file-sys", "kernel-add-key", "kernel-capabilities"],
      ...["kernel-clock", "kernel-clone3", "kernel-io-uring", "kernel-keyrings", "kernel-line-discipline"],
      ...["kernel-no-new-privileges", "kernel-paste-into-console", "kernel-perf", "kernel-personality"],
      ...["kernel-type-into-terminal", "kernel-user-namespace", "kernel-user-namespace-clone"],
      ...["operator-weaker", "own-mcp-bearer", "own-ports", "protocol-multipath-socket"],
      ...["protocol-netlink-audit", "protocol-udplite-socket", "resource-temporary-files"],
    ],
    ofMachine: [...NO_SUCH_CODE, ...NOT_EVEN_ROOT, "left-daemon", "left-groups", "left-listeners"],
  },
};
/** Without one of these a bottle lacks more. */
const WHOLE = ["hostRoot", "memoryLimit", "processLimit"];

it("there is a backend to attack", () => {
  expect(TRIED[0]?.lack).toBeUndefined();
});

const tries = TRIED.map((each) => ({
  ...each,
  name: [each.backend, each.on].filter((word) => word !== undefined).join(" on "),
}));

describe.each(tries)("a bottle of $name", ({ name, backend, lack, but = [], lacking = [], start }) => {
  if (lack !== undefined) {
    console.warn(`SKIPPED: bottle attack on ${name}: ${lack}`);
    it.skip(`holds every probe that there is (${lack})`);
    return;
  }
  let world: Awaited<ReturnType<Tried["start"]>>;
  beforeAll(async () => {
    world = await start();
  }, 300_000);
  afterAll(() => world?.close(), 60_000);
  const groups = GROUPS.filter((group) => !but.includes(group));
  const wanted = PROBES.filter(({ group }) => groups.includes(group));

  it(
    "holds every probe that is tried, each with a control that succeeds or is stated not to",
    async () => {
      const words = [
        "attack",
        "--backend",
        backend,
        "--json",
        ...groups.flatMap((group) => ["--only", group]),
      ];
      const { code, stdout, stderr } = await bottleIn({ ...env, ...world.env }, words);
      const { reports } = outputSchema.parse(
        JSON.parse(stdout === "" ? `{"stderr":${JSON.stringify(stderr)}}` : stdout),
      );
      expect(reports).toHaveLength(1);
      const [report] = reports;
      expect(report?.problems).toEqual([]);
      expect(report?.results.flatMap(({ id, held }) => (held ? [] : [id]))).toEqual(lacking);
      expect(report?.results.map(({ id }) => id).sort()).toEqual(wanted.map(({ id }) => id).sort());
      for (const { outcome, control, why, id } of report?.results ?? []) {
        if (outcome === "stated") expect(why, id).toMatch(/ /);
        else expect(control, id).toMatch(/^succeeded: /);
      }
      // What is only stated is told apart: what a backend, and what this machine has not.
      const stated = report?.results.filter(
        ({ outcome, why }) => outcome === "stated" && why?.includes("a processor that is emulated") !== true,
      );
      const [ofMachine = [], ofBackend = []] = [false, true].map((getsThroughOutside) =>
        stated
          ?.filter(({ control }) => control.startsWith("succeeded: ") === getsThroughOutside)
          .map(({ id }) => id)
          .sort(),
      );
      const expected = STATED[name];
      const isWhole =
        WHOLE.every((each) => report?.capabilities[each]) &&
        (report?.capabilities["syscallFilter"] || report?.capabilities["sharedKernel"] === false);
      if (expected === undefined || !isWhole) expect(stated?.length).toBeLessThan(wanted.length / 4);
      else {
        expect(ofMachine.filter((id) => !expected.ofMachine.includes(id))).toEqual([]);
        if (report?.capabilities["nativeProcessor"]) expect(ofBackend).toEqual(expected.ofBackend);
        else expect(ofBackend.filter((id) => !expected.ofBackend.includes(id))).toEqual([]);
      }
      expect(code).toBe(lacking.length === 0 ? 0 : 3);
      expect(readdirSync(folder)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});

describe("bottle attack on all backends", () => {
  const here = TRIED.filter(({ on, lack }) => on === undefined && lack === undefined);

  // All that there is, twice: hours where machines are emulated. `npm run soak -- attack`.
  it(
    "attacks one after the other, and tells of each in JSON and in JUnit's XML",
    async ({ skip }) => {
      skip(process.env["SOAK"] === undefined, "long: npm run soak -- attack");
      const worlds = await Promise.all(here.map(({ start }) => start()));
      try {
        const all = Object.assign({}, env, ...worlds.map((world) => world.env)) as typeof env;
        const run = (...words: readonly string[]) =>
          bottleIn(all, [
            ...["attack", "--backend", "all", "--only", "aftermath", "--only", "operator"],
            ...words,
          ]);
        const wanted = PROBES.filter(({ group }) => group === "aftermath" || group === "operator").length;
        const json = await run("--json");
        const { reports, holds } = outputSchema.parse(JSON.parse(json.stdout));
        expect(reports.flatMap(({ problems }) => problems)).toEqual([]);
        expect(reports.map(({ backend }) => backend).sort()).toEqual(
          here.map(({ backend }) => backend).sort(),
        );
        expect(reports.map(({ results }) => results.length)).toEqual(here.map(() => wanted));
        expect({ holds, code: json.code }).toEqual({ holds: true, code: 0 });
        const { tests, failures, cases } = junitOf((await run("--junit")).stdout);
        expect({ tests, failures }).toEqual({ tests: String(here.length * (wanted + 1)), failures: "0" });
        expect(new Set(cases.map(([suite]) => suite.split(".")[0]))).toEqual(
          new Set(here.map(({ backend }) => backend)),
        );
        expect(readdirSync(folder)).toEqual([]);
      } finally {
        for (const world of worlds) await world.close();
      }
    },
    TIMEOUT_MS,
  );
});

describe("bottle doctor --deep", () => {
  // The whole attack once more, which takes minutes on a busy machine: `npm run soak -- attack`.
  it(
    "attacks the backend that a bottle would get here, and sums it up in one line",
    async ({ skip }) => {
      skip(process.env["SOAK"] === undefined, "long: npm run soak -- attack");
      const { code, stdout } = await bottleIn(
        { ...env, BOT_BOTTLE_BACKEND: "namespace", BOT_BOTTLE_HOME: join(folder, "home"), HOME: folder },
        ["doctor", "--deep", "--json"],
      );
      const { findings } = JSON.parse(stdout) as {
        findings: { part: string; state: string; detail: string; lacks: unknown[] }[];
      };
      const found = findings.find(({ part }) => part === "attack namespace");
      expect(found, stdout).toMatchObject({ state: "ok", lacks: [] });
      expect(found?.detail).toMatch(
        new RegExp(
          `^${PROBES.length} of ${PROBES.length} probes tried: \\d+ held, \\d+ as stated, 0 failed, in [\\d.]+ s; bottle attack shows each$`,
        ),
      );
      expect(code).toBe(0);
    },
    TIMEOUT_MS,
  );
});

describe("bottle attack", () => {
  it("tells what it would try, and tries nothing", async () => {
    const { code, stdout } = await bottle("attack", "--list", "--only", "I4", "--json");
    expect(code).toBe(0);
    const listed = JSON.parse(stdout) as readonly Record<string, unknown>[];
    expect(listed.map(({ id }) => id)).toEqual(
      PROBES.filter(({ invariant }) => invariant === "I4").map(({ id }) => id),
    );
    for (const { tries, expected } of listed) expect(`${tries} ${expected}`).toMatch(/^\S.* refused: \S/);
    const words = await bottle("attack", "--list");
    expect(words.stdout.trim().split("\n")).toHaveLength(PROBES.length + 1);
    expect(words.stdout).toMatch(/^push-force +I4 +\S/m);
    expect((await bottle("attack", "--list", "--junit")).code).toBe(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  /** What another backend lacks keeps nobody from this one. */
  const alone = {
    ...env,
    ...{ DOCKER_HOST: `unix://${folder}/nobody`, BOT_BOTTLE_ENGINE: "/nowhere/docker" },
    ...{ BOT_BOTTLE_KERNEL: "/nowhere/vmlinuz", PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  };

  it("refuses a backend that cannot be had here, and says what is missing", async () => {
    for (const [backend, lack] of [
      ["docker", "/nowhere/docker"],
      ["qemu", "there is no kernel at /nowhere/vmlinuz"],
    ] as const) {
      const { code, stdout, stderr } = await bottleIn(alone, ["attack", "--backend", backend, "--json"]);
      expect({ code, stdout }, stderr).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain(lack);
    }
  });

  it(
    "tries only what it is told to, on every backend that there is, and says it to JUnit's readers in XML that a parser takes",
    async () => {
      const { code, stdout, stderr } = await bottleIn(alone, [
        ...["attack", "--backend", "all", "--only", "names", "--junit"],
      ]);
      expect(code, stderr).toBe(0);
      for (const each of ["docker", "qemu", "smolmachines"])
        expect(stderr).toContain(`${each} cannot be used here: bottle doctor says why`);
      const parsed = junitOf(stdout);
      const names = PROBES.filter(({ group }) => group === "names");
      expect(parsed).toMatchObject({ tag: "testsuites", tests: String(names.length + 1), failures: "0" });
      expect(parsed.cases.map(([suite, name]) => `${suite} ${name.split(" ")[0]}`)).toEqual([
        ...names.map(({ id }) => `namespace.names ${id}`),
        "namespace.run the",
      ]);
    },
    TIMEOUT_MS,
  );

  it("refuses what names no probe, group or invariant, and tells what it may have been", async () => {
    const { code, stderr } = await bottle("attack", "--only", "kernal");
    expect(code).toBe(2);
    expect(stderr).toContain("there is no probe kernal; did you mean kernel?");
  });

  it.each([
    // Before there is a world, while it is made, and among programs that write outside of any bottle.
    ["at once", undefined],
    ["while its bottles start", /starting two bottles/],
    ["once something was seen", /^held /m],
  ])(
    "leaves nothing when it is ended %s, also not a moment later",
    async (_when, sign) => {
      const child = spawn(process.execPath, [BOTTLE, "attack", "--backend", "namespace", "--only", "files"], {
        env,
        stdio: ["ignore", "pipe", "pipe"],
      });
      let said = "";
      const heard = new Promise<void>((resolve) => {
        for (const stream of [child.stdout, child.stderr])
          stream.on("data", (chunk) => {
            said += String(chunk);
            if (sign?.test(said)) resolve();
          });
      });
      // "At once": it has said nothing yet, and its folder is there.
      await (sign === undefined
        ? eventually("its folder", () => readdirSync(folder)[0])
        : Promise.race([heard, once(child, "close")]));
      child.kill("SIGTERM");
      const [code] = await once(child, "close");
      expect(code, said).toBe(143);
      expect(readdirSync(folder)).toEqual([]);
      await new Promise((resolve) => setTimeout(resolve, LATE_MS));
      expect(readdirSync(folder)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
