/** A mirror is a copy: nobody waits for it to be on the disk, and after a crash of the host nobody trusts it. */
import { readdir, rm, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { closesAfterEach } from "../../support/closing.ts";
import {
  bareUpstream,
  type GateSite,
  must,
  OWN,
  run,
  startSite,
  workingCopy,
} from "../../support/git-gate.ts";

const closing = closesAfterEach();

async function firstLife(): Promise<{
  bare: string;
  site: GateSite;
  mirror: string;
  packs: () => Promise<string[]>;
}> {
  const bare = await bareUpstream();
  closing.push(() => rm(dirname(bare), { recursive: true, force: true }));
  const site = await startSite({ upstream: { kind: "local", path: bare } });
  closing.push(() => site.close());
  await site.clone();
  const mirror = join(site.config.stateDir, "app.git");
  return { bare, site, mirror, packs: () => readdir(join(mirror, "objects", "pack")) };
}

describe.runIf(process.platform === "linux")("a mirror", () => {
  it("is kept from one start of the gate to the next", async () => {
    const { bare, site, packs } = await firstLife();
    const before = await packs();
    site.gate.stop();
    const again = await startSite({ upstream: { kind: "local", path: bare }, folder: site.folder });
    closing.push(() => again.close());
    await must(["git", "ls-remote", `${again.url}/app.git`]);
    expect(await packs()).toEqual(before);
  });

  it("is made anew after a crash of the host, which may have taken what was not on the disk yet", async () => {
    const { bare, site, mirror, packs } = await firstLife();
    site.gate.stop();
    for (const name of await packs()) await truncate(join(mirror, "objects", "pack", name), 0);
    await writeFile(join(mirror, "bot-bottle-boot"), "another");
    const again = await startSite({ upstream: { kind: "local", path: bare }, folder: site.folder });
    closing.push(() => again.close());
    const folder = join(site.folder, "afterwards");
    await must(["git", "clone", "-q", `${again.url}/app.git`, folder]);
    const copy = workingCopy(folder);
    expect(await copy.git("rev-parse", "HEAD")).toBe(
      await must(["git", "--git-dir", bare, "rev-parse", "main"]),
    );
    await copy.commit({ "a.ts": "a\n" });
    expect(await copy.push()).toMatchObject({ code: 0 });
  });

  it("that was kept is no more than one, and no push is judged by it before upstream was read", async () => {
    const { bare, site } = await firstLife();
    const copy = await site.clone();
    const alias = `${OWN}/alias`;
    await must(["git", "--git-dir", bare, "symbolic-ref", alias, "refs/heads/main"]);
    await copy.git("fetch", "-q");
    const main = await copy.git("rev-parse", "HEAD");
    const next = await copy.commit({ "a.ts": "a\n" });
    const packing = ["git", "pack-objects", "-q", "--stdout", "--revs"];
    const pack = await run(packing, { cwd: copy.folder, input: `${next}\n^${main}\n` });
    site.gate.stop();
    const again = await startSite({ upstream: { kind: "local", path: bare }, folder: site.folder });
    closing.push(() => again.close());
    const command = `${main} ${next} ${alias}\0report-status side-band-64k`;
    const length = (4 + command.length).toString(16).padStart(4, "0");
    // As git does not: it asks for the refs first.
    await fetch(`${again.url}/app.git/git-receive-pack`, {
      method: "POST",
      headers: { "Content-Type": "application/x-git-receive-pack-request" },
      body: Buffer.from(`${length}${command}0000${pack.stdout}`, "latin1"),
    }).then((answer) => answer.arrayBuffer());
    expect(await must(["git", "--git-dir", bare, "rev-parse", "main"])).toBe(main);
    expect(again.events("git.refused")).toMatchObject([{ code: "ref-symbolic" }]);
  });

  it("of a local upstream waits for no disk, and the upstream itself still does", async () => {
    const { bare, site } = await firstLife();
    const seen = join(dirname(bare), "seen");
    await writeFile(
      join(bare, "hooks", "pre-receive"),
      `#!/bin/sh\ngit config --get core.fsync >${seen} || echo unset >${seen}\n`,
      { mode: 0o755 },
    );
    const copy = await site.clone();
    await copy.commit({ "a.ts": "a\n" });
    expect(await copy.push()).toMatchObject({ code: 0 });
    expect(await must(["cat", seen])).toBe("unset");
  });
});
