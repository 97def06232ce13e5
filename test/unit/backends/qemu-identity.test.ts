/** Who a micro-VM is told to be. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ssh2 from "ssh2";
import { describe, expect, it } from "vitest";
import { makeIdentity } from "../../../src/backends/qemu/identity.ts";

const make = () => makeIdentity({ hostname: "x", etc: {}, mounts: [] });

describe("a guest's keys", () => {
  it("regression: can each be read by the library that uses them, of which one in a hundred could not", () => {
    for (let i = 0; i < 700; i++) {
      const { identity, keys } = make();
      const parsed = ssh2.utils.parseKey(keys.clientKey);
      if (parsed instanceof Error) throw parsed;
      const own = ssh2.utils.parseKey(identity.authorizedKey);
      if (own instanceof Error) throw own;
      expect(own.verify("said", parsed.sign("said"))).toBe(true);
    }
  }, 60_000);

  it("are what OpenSSH reads, and nobody else's", () => {
    const folder = mkdtempSync(join(tmpdir(), "bbi-"));
    try {
      const [one, two] = [make(), make()];
      writeFileSync(join(folder, "key"), one.keys.clientKey, { mode: 0o600 });
      const said = execFileSync("ssh-keygen", ["-y", "-f", join(folder, "key")], { encoding: "utf8" });
      expect(said.trim()).toBe(one.identity.authorizedKey);
      expect(two.identity.authorizedKey).not.toBe(one.identity.authorizedKey);
      expect(two.keys.hostKey.equals(one.keys.hostKey)).toBe(false);
      expect(two.keys.secret).not.toBe(one.keys.secret);
      expect(two.identity.seed).not.toBe(one.identity.seed);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
