/** The gate as the process it is in a bundle: configured over stdin, killed, started again. */
import { spawn } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { closesAfterEach } from "../../support/closing.ts";
import { bareUpstream, must, newFolder, OWN, repoPolicy, run, siteConfig } from "../../support/git-gate.ts";
import { cloneFrom, type GateProcess, launchGate, until } from "../../support/git-gate-process.ts";
import { overSsh } from "../../support/git-upstreams.ts";
import { HAS_SSHD, startSshd } from "../../support/sshd.ts";

const ENTRY = fileURLToPath(new URL("../../support/git-gate-entry.ts", import.meta.url));
/** With a file system of its own over a folder, from which nothing can be run. */
const noexec = (folder: string): readonly string[] => [
  ...["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"],
  ...['mount -t tmpfs -o noexec,mode=0700 none "$1" && shift && exec "$@"', "noexec", folder],
];
const CAN_MOUNT = (await run([...noexec("/mnt"), "true"])).code === 0;
const closing = closesAfterEach();

function launch(config: unknown): GateProcess {
  const gate = launchGate(config);
  closing.push(() => gate.kill());
  return gate;
}

async function place(): Promise<{ folder: string; bare: string }> {
  const folder = newFolder();
  const bare = await bareUpstream();
  closing.push(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  closing.push(() => rm(dirname(bare), { recursive: true, force: true }));
  return { folder, bare };
}

describe("the program", () => {
  it("serves, obeys a reload, refuses a bad one, answers an ask, and ends with its stdin", async () => {
    const { folder, bare } = await place();
    const config = siteConfig(folder, { upstream: { kind: "local", path: bare } });
    const gate = launch(config);
    const copy = await cloneFrom(gate, folder);
    await copy.commit({ "a.ts": "a\n" });
    gate.send({ type: "reload", policy: { ...config.policy, repos: {} } });
    expect(await gate.next("reloaded")).toMatchObject({
      error: "the policy says nothing of the repository app",
    });
    gate.send({ type: "reload", policy: { ...config.policy, repos: { app: repoPolicy({ review: true }) } } });
    await until(() => gate.messages.filter(({ type }) => type === "reloaded").length === 2);
    const pushing = copy.push();
    const { ask } = await gate.next("ask");
    gate.send({ type: "answer", ask, answer: { decision: "approve" } });
    expect(await pushing).toMatchObject({ code: 0 });
    gate.child.stdin?.end();
    expect(await gate.ended).toBe(0);
  });

  it("takes the listener that is handed over", async () => {
    const { folder, bare } = await place();
    const config = siteConfig(folder, {
      upstream: { kind: "local", path: bare },
      config: { listen: { kind: "inherited" } },
    });
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const gate = launch(config);
    gate.child.on("message", (message) => {
      if ((message as { awaits?: string }).awaits === "git-gate")
        gate.child.send({ listener: "git-gate" }, server);
    });
    expect(await gate.next("ready")).toEqual({ type: "ready", listening: ["inherited"] });
    server.close();
    const port = typeof address === "object" ? address?.port : 0;
    await must(["git", "ls-remote", `http://127.0.0.1:${port}/app.git`]);
  });

  it.each([
    ["nothing of a configuration", "not json"],
    ["a configuration with a hole", JSON.stringify({ type: "config", config: { bottle: "x" } })],
  ])("says what is wrong with %s without quoting it, and ends", async (_, line) => {
    const child = spawn(process.execPath, ["--import", "tsx", ENTRY], { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin.end(`${line}\n`);
    let out = "";
    child.stdout.on("data", (chunk) => {
      out += chunk;
    });
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ type: "log", level: "error" });
    expect(out).not.toContain("not json");
  });

  it.runIf(CAN_MOUNT)("that cannot run its hook does not serve: git would pass over it", async () => {
    const { folder, bare } = await place();
    const config = siteConfig(folder, { upstream: { kind: "local", path: bare } });
    await must(["mkdir", "-p", config.stateDir]);
    const gate = launchGate(config, { within: noexec(config.stateDir) });
    expect(await gate.ended).toBe(1);
    const told = gate.messages.flatMap((message) => (message.type === "log" ? [message.text] : []));
    expect(told.join("\n")).toContain("the gate's hook cannot be run in");
  });
});

describe("a gate that is killed", () => {
  it("while it held locks leaves none that matter", async () => {
    const { folder, bare } = await place();
    const upstream = { kind: "local", path: bare } as const;
    const gate = launch(siteConfig(folder, { upstream }));
    const copy = await cloneFrom(gate, folder);
    await copy.commit({ "a.ts": "a\n" });
    await copy.push("tmp_branch");
    gate.child.kill("SIGKILL");
    await gate.ended;
    const mirror = join(folder, "state", "app.git");
    for (const lock of ["packed-refs.lock", "HEAD.lock", "config.lock"])
      await writeFile(join(mirror, lock), "");
    await must(["mkdir", "-p", join(mirror, "objects", "tmp_objdir-incoming-x")]);
    await must(["sh", "-c", `mkdir -p ${mirror}/${OWN} && : > ${mirror}/${OWN}/work.lock`]);
    const next = launch(siteConfig(folder, { upstream }));
    const again = await cloneFrom(next, folder);
    expect(await again.push("work")).toMatchObject({ code: 0 });
    expect(await again.git("ls-remote", "origin")).toContain("tmp_branch");
    expect(await readdir(join(mirror, "objects"))).not.toContain("tmp_objdir-incoming-x");
  });

  it.skipIf(!HAS_SSHD || process.platform !== "linux")(
    "leaves no process of its own, nor an agent with a key",
    async () => {
      const { folder, bare } = await place();
      const sshd = await startSshd(join(folder, "sshd"));
      closing.push(() => sshd.close());
      const gate = launch(siteConfig(folder, { upstream: overSsh(sshd, bare) }));
      await cloneFrom(gate, folder);
      expect(await processesNaming(folder)).not.toEqual([]);
      gate.child.kill("SIGKILL");
      await gate.ended;
      await until(async () => (await processesNaming(join(folder, "run"))).length === 0);
      expect(
        (await run(["ssh-add", "-l"], { env: { SSH_AUTH_SOCK: join(folder, "run", "app.agent") } })).code,
      ).toBe(2);
    },
  );
});

/** Command lines that name the folder. */
async function processesNaming(folder: string): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")),
  );
  return lines.filter((line) => line.includes(folder));
}
