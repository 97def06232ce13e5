/** `bottle attack` as a command: what it tells, refuses and leaves; and all backends in one go. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { PROBES } from "../../../src/attack/probes/all.ts";
import { ATTACK_MS, attackSite, reported } from "../../support/attacked.ts";
import { DOCKER, NAMESPACE, QEMU } from "../../support/attacked-backends.ts";
import { eventually } from "../../support/bottle-cli.ts";
import { BOTTLE } from "../../support/real-bottle.ts";

/** A program that nobody ended would have written by then. */
const LATE_MS = 1_500;

const site = attackSite();
const { folder, env } = site;
afterAll(() => site.remove());

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

it("there is a backend to attack", () => {
  expect(NAMESPACE.lack).toBeUndefined();
});

describe("bottle attack on all backends", () => {
  const here = [NAMESPACE, DOCKER, QEMU].filter(({ lack }) => lack === undefined);

  // All that there is, twice: hours where machines are emulated. `npm run soak -- attack`.
  it(
    "attacks one after the other, and tells of each in JSON and in JUnit's XML",
    async ({ skip }) => {
      skip(process.env["SOAK"] === undefined, "long: npm run soak -- attack");
      const worlds = await Promise.all(here.map(({ start }) => start()));
      try {
        const all: typeof env = Object.assign({}, ...worlds.map((world) => world.env));
        const run = (...words: readonly string[]) =>
          site.run(
            ["attack", "--backend", "all", "--only", "aftermath", "--only", "operator", ...words],
            all,
          );
        const wanted = PROBES.filter(({ group }) => group === "aftermath" || group === "operator").length;
        const json = await run("--json");
        const { reports, holds } = reported(json);
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
    ATTACK_MS,
  );
});

describe("bottle doctor --deep", () => {
  // The whole attack once more, which takes minutes on a busy machine: `npm run soak -- attack`.
  it(
    "attacks the backend that a bottle would get here, and sums it up in one line",
    async ({ skip }) => {
      skip(process.env["SOAK"] === undefined, "long: npm run soak -- attack");
      const { code, stdout } = await site.run(["doctor", "--deep", "--json"], {
        ...{ BOT_BOTTLE_BACKEND: "namespace", BOT_BOTTLE_HOME: join(folder, "home"), HOME: folder },
      });
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
    ATTACK_MS,
  );
});

describe("bottle attack", () => {
  it("tells what it would try, and tries nothing", async () => {
    const { code, stdout } = await site.run(["attack", "--list", "--only", "I4", "--json"]);
    expect(code).toBe(0);
    const listed = JSON.parse(stdout) as readonly Record<string, unknown>[];
    expect(listed.map(({ id }) => id)).toEqual(
      PROBES.filter(({ invariant }) => invariant === "I4").map(({ id }) => id),
    );
    for (const { tries, expected } of listed) expect(`${tries} ${expected}`).toMatch(/^\S.* refused: \S/);
    const words = await site.run(["attack", "--list"]);
    expect(words.stdout.trim().split("\n")).toHaveLength(PROBES.length + 1);
    expect(words.stdout).toMatch(/^push-force +I4 +\S/m);
    expect((await site.run(["attack", "--list", "--junit"])).code).toBe(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  /** What another backend lacks keeps nobody from this one. */
  const alone = {
    ...{ DOCKER_HOST: `unix://${folder}/nobody`, BOT_BOTTLE_ENGINE: "/nowhere/docker" },
    ...{ BOT_BOTTLE_KERNEL: "/nowhere/vmlinuz", PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  };

  it("refuses a backend that cannot be had here, and says what is missing", async () => {
    for (const [backend, lack] of [
      ["docker", "/nowhere/docker"],
      ["qemu", "there is no kernel at /nowhere/vmlinuz"],
    ] as const) {
      const { code, stdout, stderr } = await site.run(["attack", "--backend", backend, "--json"], alone);
      expect({ code, stdout }, stderr).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain(lack);
    }
  });

  it(
    "tries only what it is told to, on every backend that there is, and says it to JUnit's readers in XML that a parser takes",
    async () => {
      const { code, stdout, stderr } = await site.run(
        ["attack", "--backend", "all", "--only", "names", "--junit"],
        alone,
      );
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
    ATTACK_MS,
  );

  it("refuses what names no probe, group or invariant, and tells what it may have been", async () => {
    const { code, stderr } = await site.run(["attack", "--only", "kernal"]);
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
    ATTACK_MS,
  );
});
