/** A mirror is a copy: nobody waits for it to be on the disk, and after a crash of the host nobody trusts it. */
import { readdir, rm, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { closesAfterEach } from "../../support/closing.ts";
import { bareUpstream, type GateSite, must, startSite, workingCopy } from "../../support/git-gate.ts";

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
