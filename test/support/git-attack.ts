/** An upstream that must not change, a gate before it, and as many working copies of it as there are attacks. */
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import {
  bareUpstream,
  type GateSite,
  must,
  type Ran,
  type SiteOptions,
  snapshot,
  startSite,
  type WorkingCopy,
  workingCopy,
} from "./git-gate.ts";

export interface Target {
  readonly site: GateSite;
  readonly bare: string;
  /** A fresh clone, without the time that one takes. */
  copy(): Promise<WorkingCopy>;
  /** Does it, and holds that it was refused with `code`, and that neither upstream nor mirror has changed. */
  refuses(code: string, attack: (copy: WorkingCopy) => Promise<Ran>): Promise<Ran>;
  close(): Promise<void>;
}

export async function startTarget(options: Omit<SiteOptions, "upstream"> = {}): Promise<Target> {
  const bare = await bareUpstream();
  const site = await startSite({ upstream: { kind: "local", path: bare }, ...options });
  const template = await site.clone();
  const mirror = join(site.config.stateDir, "app.git");
  let copies = 0;
  const copy = async (): Promise<WorkingCopy> => {
    copies += 1;
    const folder = join(site.folder, `attack-${copies}`);
    await must(["cp", "-a", template.folder, folder]);
    return workingCopy(folder);
  };
  return {
    site,
    bare,
    copy,
    async refuses(code, attack) {
      const attacker = await copy();
      const before = [await snapshot(bare), await snapshot(mirror)];
      const ran = await attack(attacker);
      expect(ran.code, ran.stderr).not.toBe(0);
      expect(ran.stderr).toContain(`denied: ${code}: `);
      expect([await snapshot(bare), await snapshot(mirror)]).toEqual(before);
      return ran;
    },
    async close() {
      await site.close();
      await rm(dirname(bare), { recursive: true, force: true });
    },
  };
}
