/** What the guest's container is inside, and that the tests' own engine leaves the host as it found it. */
import { describe, expect, it } from "vitest";
import { dockerBackend } from "../../../src/backends/docker/backend.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { sh, startBottle } from "../../support/bottle-guest.ts";
import { engineLack, startEngine } from "../../support/docker-engine.ts";
import { differences, startPrivateHost } from "../../support/private-host.ts";

const lack = engineLack();
if (lack !== undefined) console.warn(`SKIPPED: a docker guest from inside: ${lack}`);

describe.skipIf(lack !== undefined)("a docker guest", () => {
  it("is node, writes to its own places alone, is filtered, and its engine goes without a trace", {
    timeout: 300_000,
  }, async () => {
    // A host of its own: on this machine other tests have engines, which come and go meanwhile.
    const host = await startPrivateHost({ sharesCgroups: true });
    const before = await host.look();
    const engine = await startEngine({ words: host.words("/") });
    const docker = (...words: readonly string[]) => runOk(["docker", ...words], { env: engine.env });
    try {
      Object.assign(process.env, engine.env);
      const { guest, close } = await startBottle(dockerBackend);
      try {
        expect(await sh(guest, "id -u; id -un")).toBe("1000\nnode");
        const places = "/x /usr/x /opt/x /var/x /etc/x /home/x /opt/bottle/runtime/x";
        const tries = `for place in ${places} /home/node/x /tmp/x /var/tmp/x /run/x /dev/shm/x; do (echo > $place) 2>/dev/null && echo $place; done; :`;
        expect(await sh(guest, tries)).toBe("/home/node/x\n/tmp/x\n/var/tmp/x\n/dev/shm/x");
        const status = await sh(guest, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
        expect(status.match(/^Cap\w+:\t0{16}$/gm)).toHaveLength(5);
        expect(status).toContain("NoNewPrivs:\t1");
        expect(status).toContain("Seccomp:\t2");
        // The filter's own no: on the host, this succeeds.
        expect((await runOk(["unshare", "--user", "true"])).code).toBe(0);
        expect(await sh(guest, "unshare --user true 2>&1 || :")).toContain("Operation not permitted");
      } finally {
        await close();
      }
      // As a test leaves them that did not come to its end.
      await docker("network", "create", "--subnet", "192.168.251.0/24", "left");
      const words = ["--detach", "--network", "left", engine.base, "sleep", "600"];
      await docker("run", "--pull", "never", ...words);
    } finally {
      await engine.close();
    }
    try {
      expect(differences(before, await host.look())).toEqual([]);
    } finally {
      await host.close();
    }
  });
});
