/** Copying in and out: what is kept, and what never comes along. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { GUEST, type Guest } from "../../../../src/contract/backend.ts";
import { UserError } from "../../../../src/lib/errors.ts";
import { removeTree } from "../../../../src/lib/remove-tree.ts";
import { sh, temporaryFolder } from "../../../support/bottle-guest.ts";

export function testFiles(guest: () => Guest): void {
  let folder = "";
  beforeAll(async () => {
    folder = await temporaryFolder();
  });
  afterAll(() => removeTree(folder));

  it("copies a folder in with modes, links and odd names, owned by the agent", async () => {
    const from = join(folder, "in");
    mkdirSync(join(from, "deep/er"), { recursive: true });
    writeFileSync(join(from, "plain"), "plain\n");
    chmodSync(join(from, "plain"), 0o640);
    writeFileSync(join(from, "run me"), "#!/bin/sh\necho ran\n");
    chmodSync(join(from, "run me"), 0o755);
    writeFileSync(join(from, "deep/er/new\nline"), "");
    writeFileSync(join(from, 'deep/er/it\'s "odd" – 漢'), Buffer.from([0, 255, 10]));
    symlinkSync("../plain", join(from, "deep/link"));
    symlinkSync("/etc/hostname", join(from, "absolute"));

    await guest().copyIn(from, `${GUEST.home}/in`, { user: "agent" });

    const said = await sh(
      guest(),
      "stat -c '%a %u:%g %N' plain 'run me' deep/link absolute; './run me'; od -An -tx1 deep/er/it*; ls deep/er | wc -l",
      {
        cwd: `${GUEST.home}/in`,
      },
    );
    expect(said.split("\n")).toEqual([
      `640 1000:1000 'plain'`,
      `755 1000:1000 'run me'`,
      `777 1000:1000 'deep/link' -> '../plain'`,
      `777 1000:1000 'absolute' -> '/etc/hostname'`,
      "ran",
      " 00 ff 0a",
      // Not two files: one has a line break in its name, of which ls makes a "?" on a terminal only.
      "3",
    ]);
  });

  it("gives copied files the mode that was asked for", async () => {
    const from = join(folder, "secret");
    writeFileSync(from, "x");
    await guest().copyIn(from, `${GUEST.home}/secret`, { user: "agent", mode: 0o600 });
    expect(await sh(guest(), "stat -c %a secret")).toBe("600");
  });

  it("copies out what it copied in, but for names that would break a line of the operator's", async () => {
    await guest().copyOut(`${GUEST.home}/in`, join(folder, "out"));
    const shape = (name: string): string =>
      execFileSync(
        "find",
        [".", "!", "-name", "absolute", "!", "-name", "new*", "-printf", "%p %y %m %l\\0"],
        { cwd: join(folder, name) },
      )
        .toString()
        .split("\0")
        .sort()
        .join("\n");
    expect(shape("out")).toBe(shape("in"));
    expect(readFileSync(join(folder, 'out/deep/er/it\'s "odd" – 漢'))).toEqual(Buffer.from([0, 255, 10]));
    expect(existsSync(join(folder, "out/deep/er/new\nline"))).toBe(false);
    expect(readlinkSync(join(folder, "out/deep/link"))).toBe("../plain");
  });

  it("brings out no link that leaves the copy, no set-id bit, no special file, no .git/config and no hook", async () => {
    await sh(
      guest(),
      `rm -rf evil; mkdir -p evil/.git/hooks; cd evil
       ln -s /etc/passwd absolute; ln -s ../../../outside up; ln -s /proc/self/root root
       cp /bin/sh suid; chmod 6755 suid; mkfifo pipe
       echo '[core] fsmonitor = touch /tmp/owned' >.git/config; echo evil >.git/hooks/post-checkout
       echo fine >fine`,
    );
    const to = join(folder, "evil");
    await guest().copyOut(`${GUEST.home}/evil`, to);
    expect(readFileSync(join(to, "fine"), "utf8")).toBe("fine\n");
    for (const name of ["absolute", "up", "root", "pipe", ".git/config", ".git/hooks/post-checkout"]) {
      expect(lstatSync(join(to, name), { throwIfNoEntry: false }), name).toBeUndefined();
    }
    expect(lstatSync(join(to, "suid")).mode & 0o7000).toBe(0);
  });

  it("refuses to copy out over what is there, and to copy what is not", async () => {
    const to = join(folder, "there");
    writeFileSync(to, "mine");
    await expect(guest().copyOut(`${GUEST.home}/in`, to)).rejects.toBeInstanceOf(UserError);
    expect(readFileSync(to, "utf8")).toBe("mine");
    await expect(guest().copyOut(`${GUEST.home}/nothing`, join(folder, "nothing"))).rejects.toBeInstanceOf(
      UserError,
    );
    expect(existsSync(join(folder, "nothing"))).toBe(false);
    await expect(
      guest().copyIn(join(folder, "no-such-file"), `${GUEST.home}/x`, { user: "agent" }),
    ).rejects.toBeInstanceOf(UserError);
  });

  it("does not write where the agent may not", async () => {
    await expect(
      guest().copyIn(join(folder, "secret"), "/usr/bin/evil", { user: "agent" }),
    ).rejects.toBeInstanceOf(UserError);
    expect(existsSync("/usr/bin/evil")).toBe(false);
  });

  it("copies a folder of root's into /etc, where everybody can read it and the agent change nothing", async () => {
    const from = join(folder, "settings");
    mkdirSync(from, { mode: 0o700 });
    writeFileSync(join(from, "managed.json"), "{}", { mode: 0o600 });
    await guest().copyIn(from, "/etc/some-agent", { user: "root" });
    expect(await sh(guest(), "cat /etc/some-agent/managed.json")).toBe("{}");
    // What is there already, it becomes.
    writeFileSync(join(from, "managed.json"), "{1}", { mode: 0o600 });
    await guest().copyIn(from, "/etc/some-agent", { user: "root" });
    await guest().copyIn(join(from, "managed.json"), "/etc/some-agent/other.json", {
      user: "root",
      mode: 0o444,
    });
    expect(
      await sh(
        guest(),
        "cat /etc/some-agent/*.json; stat -c %a /etc/some-agent/other.json; ls /etc | grep -c some-agent",
      ),
    ).toBe("{1}{1}444\n1");
    expect(await sh(guest(), "echo x 2>/dev/null >/etc/some-agent/managed.json || echo refused")).toBe(
      "refused",
    );
    expect(await sh(guest(), "rm -rf /etc/some-agent 2>/dev/null || echo refused")).toBe("refused");
  });
}
