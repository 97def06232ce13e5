import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { engineInfo, findEngine } from "../../../src/engine/engine.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";

const folder = mkdtempSync(join(tmpdir(), "bbe-"));
afterAll(() => removeTree(folder));

function program(name: string, shell: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${shell}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe("an engine", () => {
  it("is the operator's choice, else docker, else podman, else none", () => {
    expect(findEngine({ PATH: folder })).toBeUndefined();
    const podman = program("podman", ":");
    expect(findEngine({ PATH: `::${folder}` })?.program).toBe(podman);
    const docker = program("docker", ":");
    expect(findEngine({ PATH: folder })?.program).toBe(docker);
    expect(findEngine({ PATH: folder, BOT_BOTTLE_ENGINE: "podman" })?.program).toBe(podman);
    expect(findEngine({ PATH: "", BOT_BOTTLE_ENGINE: docker })?.program).toBe(docker);
    expect(findEngine({ PATH: folder, BOT_BOTTLE_ENGINE: "nerdctl" })).toBeUndefined();
  });

  it("that does not answer is named with its own words and what to do", async () => {
    const path = program("down", 'echo \'{"ServerErrors":["Cannot connect to the Docker daemon"]}\'; exit 1');
    await expect(engineInfo({ program: path, env: {} })).rejects.toMatchObject({
      message: expect.stringContaining("Cannot connect to the Docker daemon"),
      hint: expect.stringContaining("DOCKER_HOST"),
    });
  });

  it("says what it can limit, and whether it filters", async () => {
    const said = (name: string, info: object) =>
      engineInfo({ program: program(name, `echo '${JSON.stringify(info)}'`), env: {} });
    const docker = { ServerVersion: "27.1", Runtimes: { runc: {} }, MemoryLimit: true, PidsLimit: false };
    expect(
      await said("filtering", {
        ...docker,
        SecurityOptions: ["name=apparmor", "name=seccomp,profile=builtin"],
      }),
    ).toEqual({
      version: "27.1",
      runtimes: ["runc"],
      filtersCalls: true,
      limits: { memory: true, processes: false },
    });
    for (const SecurityOptions of [null, [], ["name=apparmor"], ["name=seccomp,profile=unconfined"]])
      expect(await said("open", { ...docker, SecurityOptions })).toMatchObject({ filtersCalls: false });
  });

  it("of podman's kind is understood too", async () => {
    const host = {
      ociRuntime: { name: "crun" },
      security: { seccompEnabled: true },
      cgroupControllers: ["cpu", "pids"],
    };
    const path = program("pod", `echo '${JSON.stringify({ version: { Version: "4.3.1" }, host })}'`);
    expect(await engineInfo({ program: path, env: {} })).toEqual({
      version: "4.3.1",
      runtimes: ["crun"],
      filtersCalls: true,
      limits: { memory: false, processes: true },
    });
  });

  it("of podman's kind has its filter in a file, unless that is another host's", async () => {
    const said = (name: string, security: object, serviceIsRemote: boolean) => {
      const host = { ociRuntime: { name: "crun" }, security, serviceIsRemote };
      const info = JSON.stringify({ version: { Version: "5.4.2" }, host });
      return engineInfo({ program: program(name, `echo '${info}'`), env: {} });
    };
    const seccompProfilePath = "/usr/share/containers/seccomp.json";
    const filters = { seccompEnabled: true, seccompProfilePath };
    expect(await said("pod1", filters, false)).toMatchObject({ filterFile: seccompProfilePath });
    expect(await said("pod2", filters, true)).not.toHaveProperty("filterFile");
    expect(await said("pod3", { seccompEnabled: false, seccompProfilePath }, false)).not.toHaveProperty(
      "filterFile",
    );
    expect(await said("pod4", { ...filters, seccompProfilePath: "" }, false)).not.toHaveProperty(
      "filterFile",
    );
  });
});
