import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { probeEngine } from "../../../src/backends/docker/probe.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";

const folder = mkdtempSync(join(tmpdir(), "bbq-"));
const before = process.env["BOT_BOTTLE_ENGINE"];
afterEach(() => {
  if (before === undefined) delete process.env["BOT_BOTTLE_ENGINE"];
  else process.env["BOT_BOTTLE_ENGINE"] = before;
});
afterAll(() => removeTree(folder));

/** What is said before a launch of an engine that says this of itself. */
async function said(name: string, info: object): Promise<{ strength: string; lacks: string }> {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\necho '${JSON.stringify(info)}'\n`);
  chmodSync(path, 0o755);
  process.env["BOT_BOTTLE_ENGINE"] = path;
  const found = await probeEngine();
  if (!found.usable) throw new Error("it is not usable");
  return { strength: found.strength, lacks: found.lacks.map(({ what }) => what).join("; ") };
}

const podman = (version: string, serviceIsRemote: boolean) => ({
  version: { Version: version },
  host: {
    ociRuntime: { name: "crun" },
    security: { seccompEnabled: true, seccompProfilePath: "/usr/share/containers/seccomp.json" },
    serviceIsRemote,
  },
});
const docker = (version: string) => ({
  ServerVersion: version,
  Runtimes: { runc: {} },
  SecurityOptions: ["name=seccomp,profile=builtin"],
});

describe("before a launch it is said of an engine's filter", () => {
  it("that podman's is narrowed, where its rules can be read", async () => {
    const { strength, lacks } = await said("podman", podman("4.3.1", false));
    expect(strength).toContain("its default seccomp narrowed to docker's");
    expect(lacks).not.toMatch(/vsock|namespaces/);
  });

  it("what podman's lets pass, where they are another host's", async () => {
    const [old, young] = [
      await said("podman", podman("4.9.4", true)),
      await said("podman", podman("5.4.2", true)),
    ];
    expect(old).toMatchObject({ strength: expect.stringMatching(/, default seccomp$/) });
    expect(old.lacks).toMatch(/vsock.*user namespaces and from keyrings/);
    expect(young.lacks).not.toContain("vsock");
    expect(young.lacks).toContain("user namespaces and from keyrings");
  });

  it("what an old docker's lets pass, and nothing of a younger one's", async () => {
    expect((await said("docker", docker("20.10.24"))).lacks).toContain("vsock");
    expect((await said("docker", docker("27.1.1"))).lacks).not.toMatch(/vsock|namespaces/);
  });
});
