/** The one connection that the gate keeps to an upstream over ssh: when it is there, and what goes over it. */
import { existsSync, readFileSync } from "node:fs";
import { appendFile, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GitUpstream } from "../../../src/contract/git-gate.ts";
import { startProgram } from "../../../src/sidecars/git-gate/git/run.ts";
import { gitEnvironment, type Home } from "../../../src/sidecars/git-gate/git/settings.ts";
import {
  createSshMaster,
  type MasterTimes,
  type SshMaster,
} from "../../../src/sidecars/git-gate/upstream/ssh-master.ts";
import { knownHosts, sshSettings } from "../../../src/sidecars/git-gate/upstream/ssh-settings.ts";
import { closesAfterEach } from "../../support/closing.ts";
import { must, newFolder, OWN, run, startSite, TOKEN } from "../../support/git-gate.ts";
import { until } from "../../support/git-gate-process.ts";
import { newUpstream, overSsh } from "../../support/git-upstreams.ts";
import { HAS_SSHD, type Sshd, startSshd } from "../../support/sshd.ts";

let sshd: Sshd;
const sshdFolder = newFolder();
const closing = closesAfterEach();

beforeAll(async () => {
  if (HAS_SSHD) sshd = await startSshd(sshdFolder);
});
afterAll(async () => {
  if (HAS_SSHD) sshd.close();
  await rm(sshdFolder, { recursive: true, force: true });
});

async function folderOfOwn(): Promise<string> {
  const folder = newFolder();
  closing.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function newKey(file: string): Promise<{ readonly text: string; readonly publicKey: string }> {
  await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file]);
  return {
    text: readFileSync(file, "utf8"),
    publicKey: readFileSync(`${file}.pub`, "utf8").trim(),
  };
}

/** With a key of its own. */
const withKey = (bare: string, text: string): ReturnType<typeof overSsh> =>
  overSsh(sshd, bare, { key: { kind: "private-key", text } });

/** An upstream that writes down each command that it is asked to run. */
async function attentiveUpstream(): Promise<{
  readonly upstream: GitUpstream;
  readonly bare: string;
  /** `git-upload-pack`, `git-receive-pack`; in order. */
  readonly commands: () => readonly string[];
}> {
  const bare = await newUpstream(closing);
  const folder = await folderOfOwn();
  const seen = join(folder, "seen");
  const key = await newKey(join(folder, "key"));
  const watch = `echo \\"$SSH_ORIGINAL_COMMAND\\" >>${seen}; exec sh -c \\"$SSH_ORIGINAL_COMMAND\\"`;
  await appendFile(join(sshdFolder, "authorized"), `command="${watch}" ${key.publicKey}\n`);
  return {
    bare,
    upstream: withKey(bare, key.text),
    commands: () =>
      existsSync(seen)
        ? readFileSync(seen, "utf8")
            .trim()
            .split("\n")
            .map((line) => line.split(" ")[0] ?? "")
        : [],
  };
}

/** It tells of them a little later than they are. */
async function loggedIn(times: number): Promise<void> {
  await until(() => sshd.logins() >= times);
  expect(sshd.logins()).toBe(times);
}

describe.runIf(HAS_SSHD)("of a gate", () => {
  it("is one for everything that it does", async () => {
    const { upstream, bare } = await attentiveUpstream();
    const site = await startSite({ upstream });
    closing.push(() => site.close());
    const before = sshd.logins();
    const copy = await site.clone();
    const id = await copy.commit({ "a.txt": "a\n" });
    expect(await copy.push()).toMatchObject({ code: 0 });
    await copy.git("fetch", "-q");
    expect(await must(["git", "--git-dir", bare, "rev-parse", `${OWN}/work`])).toBe(id);
    await loggedIn(before + 1);
  });

  it("is made anew when the upstream has hung up", async () => {
    const { upstream, bare } = await attentiveUpstream();
    const site = await startSite({ upstream });
    closing.push(() => site.close());
    const copy = await site.clone();
    const before = sshd.logins();
    sshd.hangUp();
    await until(() => !existsSync(join(site.config.runtimeDir, "app.mux")));
    const id = await copy.commit({ "a.txt": "a\n" });
    expect(await copy.push()).toMatchObject({ code: 0 });
    expect(await must(["git", "--git-dir", bare, "rev-parse", `${OWN}/work`])).toBe(id);
    await loggedIn(before + 1);
  });

  it("carries nothing of a push that is refused, or that still waits for its verdict (I4)", async () => {
    const { upstream, bare, commands } = await attentiveUpstream();
    const site = await startSite({ upstream, repo: { review: true } });
    closing.push(() => site.close());
    const copy = await site.clone();
    await copy.commit({ "token.txt": TOKEN });
    expect(await copy.push()).toMatchObject({ code: 1 });
    await copy.git("reset", "-q", "--hard", "origin/main");
    const id = await copy.commit({ "a.txt": "a\n" });
    const pushing = copy.push();
    const asked = await until(() => site.messages.find(({ type }) => type === "ask"));
    expect(existsSync(join(site.config.runtimeDir, "app.mux"))).toBe(true);
    // It is read to say what is there now; and nothing else has been run there.
    expect(new Set(commands())).toEqual(new Set(["git-upload-pack"]));
    expect((await run(["git", "--git-dir", bare, "cat-file", "-e", id])).code).not.toBe(0);
    site.gate.answer((asked as { ask: string }).ask, { decision: "approve" });
    expect(await pushing).toMatchObject({ code: 0 });
    expect(commands().filter((command) => command === "git-receive-pack")).toHaveLength(1);
  });
});

describe.runIf(HAS_SSHD)("by itself", () => {
  it("is not there before the first talk, and ends when nothing was talked for a while", async () => {
    const { talk, control, before } = await masterOf({ idleMs: 50 });
    expect(existsSync(control)).toBe(false);
    expect(await talk("echo one")).toBe("one");
    await until(() => !existsSync(control));
    expect(await talk("echo two")).toBe("two");
    await loggedIn(before + 2);
  });

  it("regression: does not end under a talk that takes longer than that", async () => {
    const { talk, master } = await masterOf({ idleMs: 50 });
    await master.during(async () => {});
    expect(await talk("sleep 0.5; echo whole")).toBe("whole");
  });

  it("takes nobody new when it is old, and lets those end who talk", async () => {
    const { talk, control, before } = await masterOf({ longestMs: 400 });
    const long = talk("sleep 1.5; echo whole");
    await until(() => existsSync(control));
    await until(() => !existsSync(control));
    expect(await talk("echo another")).toBe("another");
    expect(await long).toBe("whole");
    await loggedIn(before + 2);
  });

  it("is for nobody once it was closed", async () => {
    const { talk, control, master } = await masterOf({});
    await talk("echo one");
    master.close();
    await until(() => !existsSync(control));
    expect(await talk("echo two")).toBe("two");
    expect(existsSync(control)).toBe(false);
  });

  it("that cannot be made keeps nobody from talking, and is not tried again at once", async () => {
    const { talk, control, lead } = await masterOf({ retryMs: 5_000 }, 1);
    await expect(talk("echo one")).rejects.toThrow("refused");
    await lead(sshd.port);
    expect(await talk("echo two")).toBe("two");
    expect(existsSync(control)).toBe(false);
    await until(async () => (await talk("echo three")) === "three" && existsSync(control));
  });
});

async function masterOf(
  times: Partial<MasterTimes>,
  port = sshd.port,
): Promise<{
  readonly master: SshMaster;
  readonly control: string;
  readonly before: number;
  /** What the upstream answers to the command. */
  readonly talk: (command: string) => Promise<string>;
  /** To another port from now on. */
  readonly lead: (port: number) => Promise<void>;
}> {
  const folder = await folderOfOwn();
  const home: Home = { stateDir: join(folder, "state"), runtimeDir: join(folder, "run") };
  for (const each of [home.stateDir, home.runtimeDir]) await mkdir(each);
  const socket = join(folder, "agent");
  const agent = startProgram(["ssh-agent", "-D", "-a", socket], {
    env: gitEnvironment(home),
    cwd: folder,
    timeoutMs: 120_000,
  });
  closing.push(() => agent.kill());
  await until(() => existsSync(socket));
  await must(["ssh-add", "-q", "-"], { env: { SSH_AUTH_SOCK: socket }, input: sshd.privateKey });
  const hosts = join(folder, "hosts");
  await writeFile(hosts, knownHosts([sshd.hostKey]));
  const control = join(home.runtimeDir, "app.mux");
  const settings = join(folder, "settings");
  const files = { agent: socket, knownHosts: hosts, publicKey: undefined, control };
  const lead = (to: number): Promise<void> =>
    writeFile(settings, sshSettings(overSsh(sshd, "/", { port: to }), files));
  await lead(port);
  const usual = { idleMs: 60_000, longestMs: 60_000, retryMs: 60_000 };
  const master = createSshMaster(settings, control, home, { ...usual, ...times });
  closing.push(async () => {
    master.close();
    await sleep(50);
  });
  return {
    master,
    control,
    lead,
    before: sshd.logins(),
    talk: (command) => master.during(() => must(["ssh", "-F", settings, "upstream", command])),
  };
}
