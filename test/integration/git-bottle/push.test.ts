import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createGated, type Gated, giveAway } from "../../support/gated-bottle.ts";
import { snapshot, TOKEN } from "../../support/git-gate.ts";

let gated: Gated;
let far: string;
let here: string;
let waits: string;
let id: string;

beforeAll(async () => {
  gated = await createGated();
  far = gated.bare("far");
  here = giveAway(gated.bare("here"));
  waits = giveAway(gated.bare("waits"));
  await gated.cli.git(
    gated.project,
    "remote",
    "add",
    "origin",
    `ssh://${gated.sshd.user}@127.0.0.1:${gated.sshd.port}${far}`,
  );
  await gated.cli.git(gated.project, "remote", "add", "backup", here);
  await gated.cli.git(gated.project, "remote", "add", "other", "/srv/somewhere/else.git");
  gated.agent(
    "dev",
    {
      far: gated.overSsh(far),
      here: { url: here, exceptions: [{ code: "path-protected", subjects: [".github/workflows/ours.yml"] }] },
      waits: { url: waits, review: true },
    },
    {
      env: { GIVEN: { value: "correct-horse-battery-staple", to: ["api.example.com"] } },
      egress: { rules: [{ id: "own-project", pattern: "project-[a-z]+-[0-9]{4}" }] },
    },
  );
  id = await gated.start("dev", "--cwd", gated.project);
});
afterAll(() => gated.remove());

/** Its own branch of a bottle. */
const own = (name: string): string => `refs/heads/bottle/${id}/${name}`;
const refOf = (bare: string, ref: string): string =>
  execFileSync("git", ["--git-dir", bare, "for-each-ref", "--format=%(objectname)", ref], {
    encoding: "utf8",
  }).trim();
const commit = (file: string, content: string): string =>
  `cd workspace && mkdir -p "$(dirname '${file}')" && printf '%s\\n' '${content}' >'${file}' && git add -A -f && git commit -qm 'change ${file}'`;
/** A new branch from upstream's main, so that what one test commits is not pushed by the next. */
const fresh = "cd ~/workspace && git fetch -q && git switch -qC try origin/main && cd ~ ;";

describe("an agent behind git-gate", () => {
  it("finds its copied workspace's remotes at the gate, and no path of the host", async () => {
    expect(await gated.sh(id, "cd workspace && git config --get-regexp 'remote\\..*\\.url'")).toBe(
      `remote.origin.url ssh://${gated.sshd.user}@127.0.0.1:${gated.sshd.port}${far}\nremote.backup.url git-gate:here`,
    );
    expect(await gated.sh(id, "cd workspace && git remote get-url origin && git remote get-url backup")).toBe(
      "http://127.0.0.1:9420/far.git\nhttp://127.0.0.1:9420/here.git",
    );
  });

  it("clones, fetches what came since, commits and pushes to an upstream over ssh", async () => {
    await gated.sh(id, `git clone -q ssh://${gated.sshd.user}@127.0.0.1:${gated.sshd.port}${far} clone`);
    await gated.cli.git(gated.project, "commit", "--quiet", "--allow-empty", "--message=since");
    await gated.cli.git(gated.project, "push", "--quiet", far, "HEAD:main");
    const since = await gated.cli.git(gated.project, "rev-parse", "HEAD");
    expect(await gated.sh(id, "cd clone && git pull -q && git rev-parse HEAD")).toBe(since);
    await gated.sh(id, `${fresh} ${commit("a.txt", "one")} && git push -q origin HEAD:${own("a")}`);
    expect(refOf(far, own("a"))).toBe(await gated.sh(id, "git -C workspace rev-parse HEAD"));
  });

  it("pushes to a repository of the host that the operator's manifest names", async () => {
    await gated.sh(
      id,
      `git clone -q git-gate:here local && cd local && git commit -q --allow-empty -m x && git push -q origin HEAD:${own("b")}`,
    );
    expect(refOf(here, own("b"))).toBe(await gated.sh(id, "git -C local rev-parse HEAD"));
  });

  it("pushes a branch of the bottle's own name with a plain git push", async () => {
    await gated.sh(
      id,
      `${fresh} cd workspace && git switch -qc bottle/${id}/plain && git commit -q --allow-empty -m x && git push -q && git push -q`,
    );
    expect(refOf(far, own("plain"))).toBe(await gated.sh(id, "git -C workspace rev-parse HEAD"));
  });

  it("pushes the one protected path that the manifest excepts, and no other", async () => {
    const push = (name: string): string =>
      `${fresh} ${commit(`.github/workflows/${name}.yml`, "on: push")} && git push -q backup HEAD:${own(name)}`;
    await gated.sh(id, push("ours"));
    expect(refOf(here, own("ours"))).toBe(await gated.sh(id, "git -C workspace rev-parse HEAD"));
    const { code, stderr } = await gated.inside(id, push("theirs"));
    expect(code).toBe(1);
    expect(stderr).toContain("denied: path-protected:");
    expect(refOf(here, own("theirs"))).toBe("");
  });

  it.each([
    [
      "another branch",
      "ref-not-allowed",
      commit("m", "m"),
      "HEAD:refs/heads/main",
      /refs\/heads\/bottle\/\S+\/\*/,
    ],
    ["a tag", "ref-not-allowed", ":", "HEAD:refs/tags/v1", /may not be pushed to/],
    [
      "a CI workflow",
      "path-protected",
      commit(".github/workflows/x.yml", "on: push"),
      "HEAD:$OWN",
      /\.github\/workflows/,
    ],
    ["a secret", "secret-found", commit("src/config.ts", TOKEN), "HEAD:$OWN", /src\/config\.ts line 1/],
  ])("reads why it may not push %s, and upstream is as it was", async (_, code, prepare, refspec, words) => {
    const before = await snapshot(far);
    const push = `git push origin ${refspec.replace("$OWN", own("refused"))}`;
    const { code: exit, stderr } = await gated.inside(id, `${fresh} ${prepare}; cd ~/workspace && ${push}`);
    expect(exit).toBe(1);
    expect(stderr).toContain(`denied: ${code}:`);
    expect(stderr).toMatch(words);
    expect(stderr).not.toContain(TOKEN);
    expect(await snapshot(far)).toBe(before);
  });

  it.each([
    [
      "the decoy, which nobody but a thief looks for",
      "cp ~/.config/backup/credentials.json workspace/c.json",
    ],
    ["what the agent was given for one host alone", "printf '%s' \"$GIVEN\" >workspace/given.txt"],
    ["what the operator's own rule finds", "echo 'project-bluebird-2031' >workspace/plan.txt"],
  ])("may not push %s", async (_, prepare) => {
    const before = await snapshot(far);
    const { stderr } = await gated.inside(
      id,
      `${fresh} ${prepare}; cd workspace && git add -A -f && git commit -qm x && git push origin HEAD:${own("refused")}`,
    );
    expect(stderr).toContain("denied: secret-found:");
    expect(await snapshot(far)).toBe(before);
  });

  describe("where the manifest asks for a review", () => {
    interface Waiting {
      readonly ticket: string;
      readonly digest: string;
      readonly review: {
        readonly repo: string;
        readonly commits: { subject: string }[];
        readonly files: string[];
      };
    }

    /** What waits in the inbox, which scripts are told by the exit code. */
    async function waiting(): Promise<Waiting> {
      for (;;) {
        const { code, stdout } = await gated.cli.run(["inbox", "--json"]);
        const { bottles } = JSON.parse(stdout) as { bottles: { pending: Waiting[] }[] };
        const [first] = bottles.flatMap(({ pending }) => pending);
        if (code === 3 && first !== undefined) return first;
      }
    }

    const push = (name: string) =>
      gated.inside(
        id,
        `rm -rf waits && git clone -q git-gate:waits waits && cd waits && echo ${name} > ${name} && git add ${name} && git commit -qm ${name} && git push origin HEAD:${own(name)}`,
      );

    it("waits for the operator, who sees it, and is refused with their words", async () => {
      const before = await snapshot(waits);
      const pushing = push("unwanted");
      const { ticket, review } = await waiting();
      expect(review).toMatchObject({
        repo: "waits",
        commits: [{ subject: "unwanted" }],
        files: ["A unwanted"],
      });
      expect(await snapshot(waits)).toBe(before);
      await gated.cli.run(["inbox", "deny", ticket, "--reason", "not in this repository"]);
      const { code, stderr } = await pushing;
      expect(code).not.toBe(0);
      expect(stderr).toContain("denied: review-refused:");
      expect(stderr).toContain("not in this repository");
      expect(await snapshot(waits)).toBe(before);
    });

    it("is forwarded once the operator has approved just that", async () => {
      const pushing = push("wanted");
      const { ticket, digest } = await waiting();
      const approve = ["inbox", "approve", ticket, "--yes", "--digest"];
      expect((await gated.cli.run([...approve, "0".repeat(64)])).code).not.toBe(0);
      expect(refOf(waits, own("wanted"))).toBe("");
      expect(await gated.cli.run([...approve, digest])).toMatchObject({ code: 0 });
      expect(await pushing).toMatchObject({ code: 0 });
      expect(refOf(waits, own("wanted"))).not.toBe("");
    });
  });

  it("has no other way: without the bearer, by another name, with the settings gone", async () => {
    const bare = "-c http.extraHeader= ls-remote";
    const withoutBearer = await gated.inside(
      id,
      `env GIT_CONFIG_GLOBAL=/dev/null git ${bare} http://127.0.0.1:9420/far.git`,
    );
    expect(withoutBearer.code).not.toBe(0);
    await gated.cli.logged(id, "git.refused");
    const codes = gated.cli.log(id).map(({ data }) => data["code"]);
    expect(codes).toContain("bearer-required");
    // With it the very same goes through.
    await gated.sh(id, "git ls-remote -q http://127.0.0.1:9420/far.git");
    expect((await gated.inside(id, "git ls-remote git-gate:nothing")).code).not.toBe(0);
    const direct = `env GIT_CONFIG_GLOBAL=/dev/null git ls-remote ssh://${gated.sshd.user}@127.0.0.1:${gated.sshd.port}${far}`;
    expect((await gated.inside(id, direct)).code).not.toBe(0);
  });

  it("shows the operator what was pushed, what was refused and why", async () => {
    const { code, stdout } = await gated.cli.run(["git", "log", id, "--json"]);
    expect(code).toBe(0);
    const events = JSON.parse(stdout) as {
      event: string;
      data: { code?: string; updates?: { ref: string; new: string }[] };
    }[];
    const pushed = events
      .filter(({ event }) => event === "git.pushed")
      .flatMap(({ data }) => data.updates ?? []);
    expect(pushed.map(({ ref }) => ref)).toEqual(expect.arrayContaining([own("a"), own("b"), own("plain")]));
    expect(pushed.find(({ ref }) => ref === own("a"))?.new).toBe(refOf(far, own("a")));
    const codes = events.flatMap(({ event, data }) => (event === "git.refused" ? [data.code] : []));
    for (const each of ["ref-not-allowed", "path-protected", "secret-found", "review-refused"])
      expect(codes).toContain(each);
    expect(events.map(({ event }) => event)).toContain("review.refused");
    expect(events.map(({ event }) => event)).not.toContain("git-gate.misbehaved");
    expect(stdout).not.toContain(TOKEN);
  });
});

describe("I2: the key", () => {
  const secretLines = (): string[] =>
    gated.sshd.privateKey.split("\n").filter((line) => /^[A-Za-z0-9+/=]{40,}$/.test(line));

  it("is nowhere in the guest", async () => {
    const [line = ""] = secretLines();
    expect(line).not.toBe("");
    // The search finds what is there: its own control.
    await gated.sh(
      id,
      `printf '%s' "$1" >/dev/null; mkdir -p /tmp/control && printf %s '${line.slice(0, 40)}-control' >/tmp/control/x`,
    );
    const search = `grep -rlIF --devices=skip '${line.slice(0, 40)}' / 2>/dev/null --exclude-dir=proc --exclude-dir=usr --exclude-dir=sys; grep -lF '${line.slice(0, 40)}' /proc/[0-9]*/environ 2>/dev/null; true`;
    expect(await gated.sh(id, search)).toBe("/tmp/control/x");
    expect(await gated.sh(id, "ls -a ~ | grep -c '^\\.ssh$' || true")).toBe("0");
    expect(await gated.sh(id, 'echo "agent:$SSH_AUTH_SOCK"')).toBe("agent:");
  });

  it("is in no argument, environment, log or state of the bottle's on the host", async () => {
    const [line = ""] = secretLines();
    for (const pid of gated.cli.processes()) {
      for (const file of ["cmdline", "environ"]) {
        let text = "";
        try {
          text = readFileSync(`/proc/${pid}/${file}`, "latin1");
        } catch {
          // It has ended.
        }
        expect(text.includes(line), `${file} of ${pid}`).toBe(false);
      }
    }
    const files = readdirSync(gated.cli.home, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    expect(files.length).toBeGreaterThan(10);
    for (const file of files) expect(readFileSync(file, "latin1").includes(line), file).toBe(false);
  });

  it("leaves nothing on the host when the bottle has ended", async () => {
    expect((await gated.cli.run(["stop", id])).code).toBe(0);
    await gated.cli.expectNothingLeft();
  });
});
