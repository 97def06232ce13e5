import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, isAlive, killIfThere } from "../../support/bottle-cli.ts";
import { createGated, type Gated } from "../../support/gated-bottle.ts";

let gated: Gated;
let far: string;
beforeAll(async () => {
  gated = await createGated();
  far = gated.bare("far");
  gated.agent("dev", { far: gated.overSsh(far) });
});
afterAll(() => gated.remove());

const refOf = (ref: string): string =>
  execFileSync("git", ["--git-dir", far, "for-each-ref", "--format=%(objectname)", ref], {
    encoding: "utf8",
  }).trim();

/** Upstream's own hook says that it was reached, and waits until it may go on. */
function slowUpstream(hook: string): {
  readonly reached: string;
  readonly goOn: () => void;
  readonly remove: () => void;
} {
  const [reached, gate] = [join(gated.world, "reached"), join(gated.world, "go-on")];
  const file = join(far, "hooks", hook);
  writeFileSync(file, `#!/bin/sh\ntouch ${reached}\nwhile [ ! -e ${gate} ]; do sleep 0.05; done\n`);
  chmodSync(file, 0o755);
  return {
    reached,
    goOn: () => writeFileSync(gate, ""),
    remove: () => {
      for (const each of [file, reached, gate]) rmSync(each, { force: true });
    },
  };
}

describe("I9: a git-gate that is killed during a push", () => {
  it.each([
    ["before upstream has taken it", "pre-receive"],
    ["after upstream has taken it", "post-receive"],
  ])("%s: the agent is not told that it went well, and the next fetch shows the truth", async (_, hook) => {
    const id = await gated.start("dev", "--cwd", gated.project);
    const ref = `refs/heads/bottle/${id}/x`;
    await gated.sh(id, "git clone -q git-gate:far clone && cd clone && git commit -q --allow-empty -m x");
    const slow = slowUpstream(hook);
    const pushing = gated.inside(id, `cd clone && git push origin HEAD:${ref}`);
    await eventually("the push to reach upstream", () => existsSync(slow.reached));
    killIfThere(await gated.gatePid(id));
    const pushed = await pushing;
    expect(pushed.code).not.toBe(0);
    slow.goOn();
    await gated.cli.logged(id, "git-gate.restarted");
    // Upstream goes on by itself: what it does with what it got is its own.
    await gated.sh(id, "cd clone && for i in 1 2 3 4 5; do git fetch -q && break; sleep 0.5; done");
    const seen = await gated.sh(
      id,
      `cd clone && git rev-parse -q --verify refs/remotes/origin/bottle/${id}/x || true`,
    );
    expect(seen).toBe(refOf(ref));
    await gated.sh(id, `cd clone && git push -q origin HEAD:${ref}`);
    expect(refOf(ref)).toBe(await gated.sh(id, "git -C clone rev-parse HEAD"));
    slow.remove();
    expect((await gated.cli.run(["stop", id])).code).toBe(0);
    await gated.cli.expectNothingLeft();
  });

  it("is refused to the guest at once while it is down, and is on the log", async () => {
    const id = await gated.start("dev");
    const gate = await gated.gatePid(id);
    killIfThere(gate);
    const died = await gated.cli.logged(id, "git-gate.died");
    expect(died.data).toMatchObject({ restartInMs: 100 });
    await gated.cli.logged(id, "git-gate.restarted");
    expect(await gated.gatePid(id)).not.toBe(gate);
    await gated.sh(id, "git ls-remote -q git-gate:far");
    await gated.cli.run(["stop", id]);
    await gated.cli.expectNothingLeft();
  });
});

describe("what git-gate starts", () => {
  it("to hold its key is killed, as the kernel does when memory runs out: the gate begins anew, with the key", async () => {
    const id = await gated.start("dev");
    const gate = await gated.gatePid(id);
    const holders = below(gate).filter((pid) => gated.cli.commandOf(pid).startsWith("ssh-agent "));
    expect(holders).toHaveLength(1);
    const logins = gated.sshd.logins();
    for (const pid of holders) killIfThere(pid);
    expect((await gated.cli.logged(id, "git-gate.log")).data).toMatchObject({
      level: "error",
      text: "what held the key of far has ended",
    });
    expect((await gated.cli.logged(id, "git-gate.died")).data).toMatchObject({ restartInMs: 100 });
    await gated.cli.logged(id, "git-gate.restarted");
    expect(await gated.gatePid(id)).not.toBe(gate);
    await gated.sh(id, "git ls-remote -q git-gate:far");
    await eventually("upstream to have let it in anew", () => gated.sshd.logins() > logins || undefined);
    await gated.cli.run(["stop", id]);
    await gated.cli.expectNothingLeft();
  });

  it("is buried, also when what had started it was killed, as the kernel does when memory runs out", async () => {
    const id = await gated.start("dev");
    await gated.sh(id, "git clone -q git-gate:far clone && cd clone && git commit -q --allow-empty -m x");
    const slow = slowUpstream("pre-receive");
    const pushing = gated.inside(id, `cd clone && git push origin HEAD:refs/heads/bottle/${id}/gone`);
    await eventually("the push to reach upstream", () => existsSync(slow.reached));
    const gate = await gated.gatePid(id);
    const parents = below(gate).filter(
      // Without its keys the gate begins anew: see below.
      (pid) => childrenOf(pid).length > 0 && !/sidecar|ssh-agent/.test(gated.cli.commandOf(pid)),
    );
    expect(parents.length).toBeGreaterThan(1);
    for (const pid of parents) killIfThere(pid);
    slow.goOn();
    // Upstream may have taken it all the same; who says so must be right.
    const told = (await pushing).code === 0;
    if (told)
      expect(refOf(`refs/heads/bottle/${id}/gone`)).toBe(await gated.sh(id, "git -C clone rev-parse HEAD"));
    await gated.sh(id, "git ls-remote -q git-gate:far");
    await eventually("all to be buried", () => below(gate).every(isAlive));
    expect(await gated.gatePid(id)).toBe(gate);
    slow.remove();
    await gated.cli.run(["stop", id]);
    await gated.cli.expectNothingLeft();
  });
});

function childrenOf(pid: number): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  } catch {
    return [];
  }
}

/** A process's descendants; ended ones that nobody has asked after are among them. */
function below(pid: number): readonly number[] {
  return childrenOf(pid).flatMap((child) => [child, ...below(child)]);
}

describe("a bottle that is resumed", () => {
  it("pushes again, with a bearer of its new life", async () => {
    const id = await gated.start("dev", "--cwd", gated.project);
    const bearer = "sed -n 's/.*Bearer //p' ~/.bottle/git-gate.gitconfig";
    const first = await gated.sh(id, bearer);
    await gated.sh(id, `git clone -q git-gate:far clone && cd clone && git commit -q --allow-empty -m kept`);
    await gated.sh(id, "echo work >~/workspace/work.txt");
    await gated.cli.run(["stop", id]);
    expect((await gated.cli.run(["resume", id, "--detach", "--yes"])).code).toBe(0);
    const second = await gated.sh(id, bearer);
    expect(second).toMatch(/^[A-Za-z0-9_-]{43}"?$/);
    expect(second).not.toBe(first);
    await gated.sh(id, `cd clone && git push -q origin HEAD:refs/heads/bottle/${id}/kept`);
    expect(refOf(`refs/heads/bottle/${id}/kept`)).toBe(await gated.sh(id, "git -C clone rev-parse HEAD"));
    await gated.cli.run(["stop", id]);
    await gated.cli.expectNothingLeft();
  });
});

describe("I9: a keeper that is killed", () => {
  it("takes git-gate along with all it started, and cleanup removes the rest", async () => {
    const id = await gated.start("dev");
    await gated.sh(id, "git ls-remote -q git-gate:far");
    const { keeperPid } = await gated.cli.status(id);
    killIfThere(keeperPid);
    await eventually("every process to be gone", () => gated.cli.processes().length === 0);
    expect((await gated.cli.run(["cleanup", "--yes"])).code).toBe(0);
    await gated.cli.expectNothingLeft();
  });
});
