/**
 * Whole bottles in machines of smolvm's, through the built `bottle` command: what they say, how they end, what is left
 * when they are killed, and that no secret of theirs is anywhere on the host.
 */
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeCertificateAuthority } from "../../../demo/upstreams/certificate-authority.ts";
import { startPlainSite } from "../../doubles/upstreams.ts";
import { type BottleCli, createBottleCli, eventually, isAlive, pause } from "../../support/bottle-cli.ts";
import { drawn } from "../../support/random.ts";
import { searchHost, searchProcesses } from "../../support/real-host.ts";
import { because, installSmolvm, machineLack } from "../../support/smolvm.ts";

/** One whose guests have a filtered network in a namespace, and one whose guests have none. */
const RELEASES = drawn("bottles in machines", ["0.8.0", "1.9.3"], 1);
const lack = machineLack();
if (lack !== undefined) console.warn(`SKIPPED: whole bottles in machines: ${lack}`);

describe.skipIf(lack !== undefined).each(RELEASES)(
  `a bottle in a machine of smolvm %s${because(lack)}`,
  (version) => {
    let cli: BottleCli;
    let folder = "";
    let path: string | undefined;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "bbp-"));
      path = process.env["PATH"];
      process.env["PATH"] = `${installSmolvm(folder, version)}:${path}`;
      cli = createBottleCli();
      cli.agent("sh", ["sh", "-c"], { bottle: { backend: "smolmachines" } });
    });
    afterEach(() => cli.expectNothingLeft());
    afterAll(async () => {
      process.env["PATH"] = path;
      await cli.remove();
      rmSync(folder, { recursive: true, force: true });
    });

    const shortWays = (): readonly string[] => waysBelow(cli.root);

    const tickOf = async (id: string): Promise<string> =>
      (await cli.run(["exec", "-T", id, "--", "cat", "/home/node/tick"])).stdout;
    /** A stand-in's disk is a folder of the host's. */
    const tickFile = (id: string): string => {
      const vms = join(cli.home, "state", id, "smolvm/cache/smolvm/vms");
      const [vm = ""] = readdirSync(vms);
      return join(vms, vm, "rootfs/home/node/tick");
    };

    it("says hello-from-vm, and ends with the agent's own exit code", async () => {
      const run = await cli.run(["start", "sh", "-p", "echo hello-from-vm; id -un; exit 7"]);
      expect(run).toMatchObject({ code: 7, stdout: "hello-from-vm\nnode\n" });
      expect(run.stderr).toMatch(/^ +backend +smolmachines: libkrun micro-VM/m);
    });

    it("keeps its home for a later life", async () => {
      const id = await cli.start("sh", "-p", "echo once >~/note; echo written; exit 3");
      await cli.logged(id, "bottle.ended");
      expect(await cli.leftovers()).toEqual([]);
      const again = await cli.run(["resume", id, "-p", "cat ~/note"]);
      expect(again).toMatchObject({ code: 0, stdout: "once\n" });
    });

    it("stands still while it is frozen, goes on when it is thawed, and ends frozen", async () => {
      const id = await cli.start("sh", "-p", "while :; do date +%s%N >~/tick; sleep 0.02; done");
      await eventually("the agent", async () => (await tickOf(id)) || undefined);
      expect((await cli.run(["freeze", id])).code).toBe(0);
      const disk = tickFile(id);
      // A machine's processors are its VMM's own threads; a stand-in's stop a moment after it, on a busy host a longer one.
      const { tick: still } = await eventually("its standing still", async () => {
        const tick = readFileSync(disk, "utf8");
        await pause(300);
        return readFileSync(disk, "utf8") === tick ? { tick } : undefined;
      });
      expect((await cli.run(["thaw", id])).code).toBe(0);
      await eventually("a tick", () => (readFileSync(disk, "utf8") === still ? undefined : true));
      expect((await cli.run(["freeze", id])).code).toBe(0);
      const stopped = await cli.run(["stop", id]);
      expect(stopped, stopped.stderr).toMatchObject({ code: 0 });
      await cli.run(["rm", "--force", id]);
    });

    it("has no secret in any argument, environment, database, log or file on the host", async () => {
      const since = Date.now();
      const token = `gh${"p_"}${randomBytes(24).toString("base64url")}`;
      const given = `given-${randomBytes(24).toString("base64url")}`;
      const authority = await makeCertificateAuthority("a test's");
      const site = await startPlainSite({ tls: await authority.issue(["token.test"]) });
      try {
        writeFileSync(cli.path("u/ca.pem"), authority.certificate);
        const route = { host: "token.test", connect_to: `127.0.0.1:${site.port}` };
        cli.agent("holder", ["sh", "-c"], {
          bottle: {
            backend: "smolmachines",
            env: { GIVEN: { from: "GIVEN_OUTSIDE", to: ["token.test"] } },
            egress: {
              upstream_ca: [cli.path("u/ca.pem")],
              routes: [{ ...route, auth: { scheme: "Bearer", token_ref: "API_TOKEN" } }],
            },
          },
        });
        // Everything that handles a secret has done so before anything is searched.
        const work = 'curl -sS -o /dev/null -H "X-Given: $GIVEN" https://token.test/ && echo done; sleep 600';
        const start = await cli.run(["start", "holder", "--detach", "--yes", "-p", work], {
          env: { API_TOKEN: token, GIVEN_OUTSIDE: given },
        });
        expect(start, start.stderr).toMatchObject({ code: 0 });
        const id = start.stdout.trim();
        await eventually("the agent", async () => (await cli.run(["logs", id])).stdout || undefined);
        expect(site.requests.map(({ headers }) => [headers["authorization"], headers["x-given"]])).toEqual([
          [`Bearer ${token}`, given],
        ]);
        // Another exec, on a terminal too, so that their arguments are there to be seen.
        const beside = cli.begin(["exec", id, "--", "sleep", "601"]);
        await eventually("its beginning", () =>
          cli.processes().some((pid) => cli.commandOf(pid) === "sleep 601") ? true : undefined,
        );
        const smolvm = join(cli.home, "state", id, "smolvm");
        expect(existsSync(join(smolvm, "data/smolvm/server/smolvm.db"))).toBe(true);
        // What it was given is in the guest's own programs on purpose, which here are processes of the host's.
        const inGuest = new Set(cli.processes().filter((pid) => /^(sh -c|sleep)/.test(cli.commandOf(pid))));
        expect(searchHost({ token, given }, since, { except: inGuest, more: [smolvm] })).toEqual([]);
        // Of the guest's too there is none that has the token.
        expect(searchProcesses({ token })).toEqual([]);
        beside.child.kill("SIGTERM");
        await beside.ended;
        await cli.run(["rm", "--force", id]);
      } finally {
        await site.close();
      }
    }, 120_000);

    it("ends when its keeper is killed, frozen or not; cleanup removes the rest but log and disk", async () => {
      const id = await cli.start("sh", "-p", "echo kept >~/file; echo said; sleep 600");
      await eventually("the agent", async () => (await cli.run(["logs", id])).stdout || undefined);
      if (version === "1.9.3") expect(await cli.run(["freeze", id])).toMatchObject({ code: 0 });
      const { keeperPid } = await cli.status(id);
      const pids = cli.processes();
      process.kill(keeperPid, "SIGKILL");
      await eventually("everybody's end", () => (pids.some(isAlive) ? undefined : true));
      expect(await cli.list()).toMatchObject([{ id, state: "crashed" }]);
      const listed = await cli.run(["cleanup", "--dry-run"]);
      expect(listed.stdout).toMatch(new RegExp(`^${id}  short way  /tmp/bbv-`, "m"));
      expect((await cli.run(["cleanup", "--yes"])).code).toBe(0);
      expect(shortWays()).toEqual([]);
      const again = await cli.run(["resume", id, "-p", "cat ~/file"]);
      expect(again, again.stderr).toMatchObject({ code: 0, stdout: "kept\n" });
    });

    it("leaves nothing after cleanup, whenever its keeper is killed", async () => {
      // At each step: lifecycle/faults. Here, in between.
      for (let delay = 100; delay <= 2_500; delay += 800) {
        const command = cli.begin(["start", "sh", "-p", "sleep 600"]);
        const keeper = await eventually("its keeper", () =>
          cli.processes().find((pid) => /bottle\.js keeper$/.test(cli.commandOf(pid))),
        );
        await pause(delay);
        process.kill(keeper, "SIGKILL");
        await command.ended;
        const cleaned = await cli.run(["cleanup", "--yes"]);
        expect(cleaned, cleaned.stderr).toMatchObject({ code: 0 });
        for (const id of cli.kept()) await cli.run(["rm", "--force", id]);
        expect(await cli.leftovers(), `after ${delay} ms`).toEqual([]);
        expect(shortWays(), `after ${delay} ms`).toEqual([]);
      }
    }, 120_000);
  },
);

describe.skipIf(lack !== undefined)(`a start of smolvm's that fails${because(lack)}`, () => {
  it.each(["0.8.0", "1.8.0"])(
    "of %s is told in its own words, and leaves no process of a machine's",
    async (version) => {
      const folder = mkdtempSync(join(tmpdir(), "bbp-"));
      const path = process.env["PATH"];
      process.env["PATH"] = `${installSmolvm(folder, version, { failing: ["start"] })}:${path}`;
      const cli = createBottleCli();
      try {
        cli.agent("sh", ["sh", "-c"], { bottle: { backend: "smolmachines" } });
        const run = await cli.run(["start", "sh", "-p", "true"]);
        expect(run.code).toBe(1);
        expect(run.stderr).toContain(`smolvm ${version} could not start the machine: failed to boot machine`);
        await cli.expectNothingLeft();
      } finally {
        process.env["PATH"] = path;
        await cli.remove();
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});

describe.skipIf(lack !== undefined)(`a start that ends while smolvm packs${because(lack)}`, () => {
  it("leaves nobody who packs, interrupted or killed, and nothing once cleanup was there", async () => {
    const folder = mkdtempSync(join(tmpdir(), "bbp-"));
    const path = process.env["PATH"];
    process.env["PATH"] = `${installSmolvm(folder, "1.9.3", { failing: ["pack-hangs"] })}:${path}`;
    const cli = createBottleCli();
    const ways = (): readonly string[] => waysBelow(cli.root);
    // smolvm knows its folder by the short way alone.
    const packers = (): readonly string[] => ways().flatMap((way) => argumentsOfThoseAt(way));
    try {
      cli.agent("sh", ["sh", "-c"], { bottle: { backend: "smolmachines" } });
      const packing = () =>
        eventually("its packing", () => {
          const found = packers();
          return found.includes("sleep 601") ? found : undefined;
        });
      const nobody = () => eventually("everybody's end", () => (packers().length === 0 ? true : undefined));
      const given = cli.begin(["start", "sh", "-p", "true"]);
      expect((await packing()).some((words) => words.includes(" pack create --image "))).toBe(true);
      const [first = expect.fail("no way")] = ways();
      await eventually("its machine", () => machinesAt(first)[0]);
      given.child.kill("SIGINT");
      expect((await given.ended).code).toBe(130);
      await nobody();
      await eventually("its machine's end", () => (machinesAt(first).length === 0 ? true : undefined));
      await cli.expectNothingLeft();
      const start = cli.begin(["start", "sh", "-p", "true"]);
      await packing();
      const keeper = cli.processes().find((pid) => /bottle\.js keeper$/.test(cli.commandOf(pid)));
      process.kill(keeper ?? expect.fail("no keeper"), "SIGKILL");
      await start.ended;
      await nobody();
      const [second = expect.fail("no way"), ...more] = ways();
      expect(more).toEqual([]);
      const cleaned = await cli.run(["cleanup", "--yes"]);
      expect(cleaned, cleaned.stderr).toMatchObject({ code: 0 });
      expect(ways()).toEqual([]);
      await eventually("its machine's end", () => (machinesAt(second).length === 0 ? true : undefined));
      expect(readdirSync(join(cli.root, "c/images/work"))).toEqual([]);
      await cli.expectNothingLeft();
    } finally {
      process.env["PATH"] = path;
      await cli.remove();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** Short ways to folders of an operator's. */
function waysBelow(root: string): readonly string[] {
  return readdirSync("/tmp")
    .filter((name) => name.startsWith("bbv-"))
    .map((name) => join("/tmp", name))
    .filter((way) => {
      try {
        return readlinkSync(way).startsWith(root);
      } catch {
        // Another operator's, gone meanwhile.
        return false;
      }
    });
}

/** Command lines of machines whose folder is there. */
function machinesAt(way: string): readonly string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "latin1");
        return words.includes(`\0_boot-vm\0${way}/`) ? [words] : [];
      } catch {
        return [];
      }
    });
}

/** Of every process that has the folder in its environment. */
function argumentsOfThoseAt(folder: string): readonly string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(`XDG_DATA_HOME=${folder}/`)) return [];
        const words = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0").join(" ").trim();
        return words === "" ? [] : [words];
      } catch {
        return [];
      }
    });
}
