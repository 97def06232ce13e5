import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli, eventually, isRoot } from "../../support/bottle-cli.ts";
import { withMounts } from "../../support/own-mounts.ts";

let cli: BottleCli;
beforeAll(() => {
  cli = createBottleCli();
  cli.agent("sh", ["sh", "-c"]);
});
afterEach(() => cli.expectNothingLeft());
afterAll(() => cli.remove());

describe("a home that cannot be written", () => {
  it("is refused before anything runs when its disk is full, with how much is needed", async () => {
    const small = cli.path("small");
    mkdirSync(small);
    const wrapper = withMounts(
      `mount -t tmpfs -o size=8m,mode=700 none ${small}; cp -a ${cli.home}/. ${small}`,
    );
    const { code, stdout, stderr } = await cli.run(["start", "sh", "-p", "echo ran"], {
      wrapper,
      env: { BOT_BOTTLE_HOME: small },
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/error: \/tmp\/.*\/small has [78] MiB free; a bottle needs at least 64/);
    expect(stderr).toContain("BOT_BOTTLE_HOME");
  });

  it.each([
    ["new", false],
    ["used before", true],
  ])("exits 1 naming BOT_BOTTLE_HOME when it is read-only and %s", async (_name, isUsed) => {
    if (isUsed) expect((await cli.run(["start", "sh", "-p", "true"])).code).toBe(0);
    const wrapper = withMounts(`mount --bind ${cli.home} ${cli.home}; mount -o remount,bind,ro ${cli.home}`);
    const { code, stdout, stderr } = await cli.run(["start", "sh", "-p", "echo ran"], { wrapper });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /error: cannot create .*\/state.*: EROFS\nnext: {2}set BOT_BOTTLE_HOME to a directory you can write/,
    );
  });

  it("says the same when it belongs to somebody else's permissions", async ({ skip }) => {
    skip(isRoot, "root may write everywhere");
    mkdirSync(join(cli.home, "state"), { recursive: true });
    chmodSync(join(cli.home, "state"), 0o500);
    try {
      const { code, stderr } = await cli.run(["start", "sh", "-p", "true"]);
      expect(code).toBe(1);
      expect(stderr).toContain("BOT_BOTTLE_HOME");
    } finally {
      chmodSync(join(cli.home, "state"), 0o700);
    }
  });
});

describe("a runtime folder", () => {
  it("with too long a name is refused with the limit and what to set, and leaves nothing", async () => {
    const long = cli.path("x".repeat(100));
    const { code, stderr } = await cli.run(["start", "sh", "-p", "true"], { env: { XDG_RUNTIME_DIR: long } });
    expect(code).toBe(1);
    expect(stderr).toContain("socket path is longer than 107 bytes");
    expect(stderr).toContain("set XDG_RUNTIME_DIR to a shorter directory");
    expect(cli.kept()).toEqual([]);
  });

  it("that cannot be made is named, and what to set", async () => {
    const file = cli.write("file", "");
    const { code, stderr } = await cli.run(["start", "sh", "-p", "true"], { env: { XDG_RUNTIME_DIR: file } });
    expect(code).toBe(1);
    expect(stderr).toContain(`error: cannot create ${file}/bot-bottle: ENOTDIR`);
    expect(stderr).toContain("next:  set XDG_RUNTIME_DIR to a directory you can write");
  });

  it("that others prepared in /tmp is not used", async () => {
    const tmp = cli.path("tmp");
    const name = `bot-bottle-${process.getuid?.() ?? 0}`;
    mkdirSync(tmp);
    const trap = cli.write("tmp/trap", "");
    renameSync(trap, join(tmp, name));
    const env = { XDG_RUNTIME_DIR: undefined, TMPDIR: tmp };
    const { code, stderr } = await cli.run(["start", "sh", "-p", "true"], { env });
    expect(code).toBe(1);
    expect(stderr).toContain(join(tmp, name));
  });
});

describe("I8: a log that can no longer be written", () => {
  const auditOf = (id: string): string => join(cli.home, "audit", `${id}.jsonl`);

  it("ends the bottle: the command that noticed is refused, egress is gone, the workspace is kept", async () => {
    const id = await cli.start("sh", "-p", "echo x > file; sleep 600");
    await eventually("the file", async () =>
      (await cli.run(["exec", id, "--", "cat", "workspace/file"])).code === 0 ? true : undefined,
    );
    renameSync(auditOf(id), cli.path("moved"));
    const refused = await cli.run(["exec", id, "--", "touch", "workspace/forbidden"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/the audit log .* cannot be written/);
    await eventually("the bottle's end", async () =>
      (await cli.list())[0]?.state === "kept" ? true : undefined,
    );
    expect(await cli.list()).toMatchObject([{ id, exit: "SIGTERM" }]);
    renameSync(cli.path("moved"), auditOf(id));
    expect(readdirSync(join(cli.home, "state", id, "home/workspace"))).toEqual(["file"]);
    expect((await cli.run(["audit", "verify", id])).code).toBe(3);
  });

  it("lets no further request out: the first that is not recorded is the last that is answered", async () => {
    // Asks as fast as it can, and says what came back until nothing does.
    const asking = `trap '' TERM; for i in $(seq 1000); do
      curl -s -m 2 -o /dev/null -w "%{http_code} " http://denied.test/ || { echo "refused $?"; sleep 600; }
    done`;
    const command = cli.begin(["start", "sh", "-p", asking]);
    await eventually("an answer", () => (command.stdout().includes("403 403") ? true : undefined));
    const [id = ""] = cli.kept();
    renameSync(auditOf(id), cli.path("moved"));
    const { code, stdout, stderr } = await command.ended;
    expect(code).toBe(137);
    expect(stdout).toMatch(/403 000 refused (7|52|56)\n$/);
    expect(stderr).toContain("the end was not recorded");
    renameSync(cli.path("moved"), auditOf(id));
    // What was answered and not recorded is at most what was on its way at that moment.
    const recorded = cli.log(id).filter(({ event }) => event === "egress.denied").length;
    const answered = stdout.match(/403/g)?.length ?? 0;
    expect(answered - recorded).toBeLessThanOrEqual(2);
    expect(existsSync(join(cli.home, "state", id))).toBe(true);
  });
});
