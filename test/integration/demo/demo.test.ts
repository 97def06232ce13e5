/** `bottle demo` as anybody would run it: what it prints, how it ends, what it leaves; as root and as an ordinary user. */
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, realpathSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cacheOf } from "../../../src/lib/paths.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { claude } from "../../../src/providers/claude.ts";
import { BOTTLE, isRoot, type Run, runProgram } from "../../support/real-bottle.ts";
import { processes } from "../../support/real-host.ts";
import { VM_CACHE, vmLack } from "../../support/vm-host.ts";

const ownCache = process.env["BOT_BOTTLE_CACHE"];
const vmLacks = await vmLack();
// The other demos keep to the cache that they had.
if (ownCache === undefined) delete process.env["BOT_BOTTLE_CACHE"];
else process.env["BOT_BOTTLE_CACHE"] = ownCache;

/** Nobody's in particular. */
const ORDINARY_UID = 65_533;
const DEMO_WITHIN_MS = 60_000;
/** With an emulated processor, and an image that is made first. */
const EMULATED_WITHIN_MS = 400_000;

interface Report {
  readonly holds: boolean;
  readonly lines: readonly { readonly what: string; readonly seen: string; readonly holds: boolean }[];
}

let folder: string;

beforeAll(async () => {
  await claude.install(cacheOf(), () => {});
  // Else the first demo in a micro-VM does, and npm leaves its cache in that one's home.
  if (vmLacks === undefined) await claude.install(VM_CACHE, () => {});
  folder = realpathSync(mkdtempSync(join(tmpdir(), "bbd-")));
  chmodSync(folder, 0o755);
}, 600_000);
afterAll(() => removeTree(folder));

/** Runs the demo with folders of its own, so that whatever it leaves is found. */
async function demo(
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
  {
    asUser = false,
    withinMs = DEMO_WITHIN_MS,
    interruptAt,
  }: { readonly asUser?: boolean; readonly withinMs?: number; readonly interruptAt?: string } = {},
) {
  const place = mkdtempSync(join(folder, "run-"));
  const [temporary, home] = [join(place, "t"), join(place, "h")];
  for (const path of [temporary, home]) mkdirSync(path);
  if (asUser) for (const path of [place, temporary, home]) chownSync(path, ORDINARY_UID, ORDINARY_UID);
  const wrapper = asUser
    ? ["setpriv", `--reuid=${ORDINARY_UID}`, `--regid=${ORDINARY_UID}`, "--clear-groups"]
    : [];
  const from = performance.now();
  const run = await runProgram([...wrapper, process.execPath, BOTTLE, "demo", ...args], {
    cwd: home,
    timeoutMs: withinMs,
    ...(interruptAt !== undefined && { interruptAt }),
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: home,
      TMPDIR: temporary,
      BOT_BOTTLE_CACHE: cacheOf(),
      ...env,
    },
  });
  expect(performance.now() - from).toBeLessThan(withinMs);
  return { ...run, left: leftBehind(place) };
}

/** Files below its folders, and processes that know of them. */
function leftBehind(place: string): readonly string[] {
  const files = execFileSync("find", [place, "-type", "f", "-o", "-type", "s", "-o", "-type", "p"], {
    encoding: "utf8",
  });
  const known = processes().filter((pid) => {
    try {
      return execFileSync("cat", [`/proc/${pid}/environ`, `/proc/${pid}/cmdline`], {
        stdio: ["ignore", "pipe", "ignore"],
      }).includes(place);
    } catch {
      return false;
    }
  });
  return [...files.split("\n").filter((line) => line !== ""), ...known.map((pid) => `process ${pid}`)];
}

function reportOf(run: Run): Report {
  return JSON.parse(run.stdout) as Report;
}

function expectGood(run: Run & { readonly left: readonly string[] }): void {
  const { holds, lines } = reportOf(run);
  expect(
    lines.filter((line) => !line.holds),
    run.stderr,
  ).toEqual([]);
  expect(holds).toBe(true);
  expect(run.code).toBe(0);
  expect(run.left).toEqual([]);
}

describe("bottle demo", () => {
  it("says as JSON what held, with the real agent, and leaves nothing", async () => {
    const run = await demo(["--json"]);
    expectGood(run);
    expect(reportOf(run).lines.map(({ what }) => what)).toEqual([
      "the agent (claude) answered",
      "its model saw the real key",
      "the agent never did",
      "an allowed site answered",
      "another was denied, by name",
      "a direct address was refused",
      "a name did not resolve",
      "the host's loopback was refused",
      "its work came out by pull",
      "the log is whole and signed",
      "nothing is left but the log",
    ]);
    for (const line of reportOf(run).lines)
      expect(line).toEqual({ what: expect.any(String), seen: expect.any(String), holds: true });
  });

  it("does so again, as a table for people", async () => {
    const { code, stdout, left } = await demo();
    expect(code).toBe(0);
    expect(stdout.trim().split("\n")).toHaveLength(11);
    for (const line of stdout.trim().split("\n")) expect(line).toMatch(/^ok {4}\S/);
    expect(left).toEqual([]);
  });

  it.runIf(isRoot && isReachable(BOTTLE))("works for an ordinary user", async () => {
    // The cache is its owner's alone.
    const cache = join(folder, "cache");
    execFileSync("cp", ["-a", cacheOf(), cache]);
    execFileSync("chmod", ["-R", "a+rX", cache]);
    expectGood(await demo(["--json"], { BOT_BOTTLE_CACHE: cache }, { asUser: true }));
  });

  it.skipIf(vmLacks !== undefined)(
    "does so in a micro-VM too",
    async () => {
      const env = { BOT_BOTTLE_CACHE: VM_CACHE, BOT_BOTTLE_BACKEND: "qemu" };
      const run = await demo(["--json"], env, { withinMs: EMULATED_WITHIN_MS });
      expectGood(run);
      expect(run.stderr).toContain("backend  qemu: a kernel of its own, no network device");
    },
    EMULATED_WITHIN_MS,
  );

  it.each([
    ["while it launches", "resources "],
    ["while the agent is at work", "\nbottle demo-"],
  ])("leaves nothing, and says that it was interrupted, %s", async (_when, shown) => {
    const { code, stderr, left } = await demo([], {}, { interruptAt: shown });
    expect(stderr).toMatch(/interrupted\n$/);
    expect(code).toBe(130);
    expect(left).toEqual([]);
  });

  it("exits 1, and says which line is wrong, where it cannot hold", async () => {
    const { code, stdout, stderr, left } = await demo([], { BOT_BOTTLE_BACKEND: "nowhere" });
    expect(code).toBe(1);
    expect(stderr).toContain("there is no backend nowhere");
    expect(stdout).toMatch(/^FAIL {2}the agent \(claude\) answered/m);
    expect(stdout).toMatch(/^FAIL {2}its work came out by pull/m);
    expect(left).toEqual([]);
  });
});

/** Whether everybody may walk to it: a checkout may lie in a home. */
function isReachable(path: string): boolean {
  for (let at = dirname(path); at !== "/"; at = dirname(at)) {
    if ((statSync(at).mode & 0o005) !== 0o005) return false;
  }
  return true;
}
