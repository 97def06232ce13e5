/** Which smolvm there is, and what is told of one that is missing, too old, or says nothing: each with its remedy. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createSmolmachinesBackend } from "../../../src/backends/smolmachines/backend.ts";
import { lookForSmolvm, probeSmolmachines } from "../../../src/backends/smolmachines/probe.ts";
import { planFor } from "../../support/bottle-guest.ts";

const REMEDY = "install smolvm 1.9 or newer from https://github.com/smol-machines/smolvm, and put it on PATH";

let folder = "";
const path = process.env["PATH"];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bbs-"));
});
afterEach(() => {
  process.env["PATH"] = path;
  rmSync(folder, { recursive: true, force: true });
});

/** A `smolvm` before everything else on PATH. */
function install(shell: string): void {
  const bin = join(folder, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "smolvm"), `#!/bin/sh\n${shell}\n`);
  chmodSync(join(bin, "smolvm"), 0o755);
  process.env["PATH"] = `${bin}:${path}`;
}

describe("the operator's smolvm", () => {
  it.each(["0.8.0", "1.9.3", "2.0.1"])("is taken when it is %s", async (version) => {
    install(`[ "$*" = --version ] && echo smolvm ${version}`);
    expect(await lookForSmolvm()).toMatchObject({
      smolvm: { path: join(folder, "bin/smolvm"), text: version },
    });
  });

  it.each([
    ["is too old", "echo smolvm 0.7.9", /^smolvm 0\.8\.0 or newer \(0\.7\.9 is there\)$/],
    [
      "is somebody else's",
      "echo smolvm, a tool",
      /^a smolvm that tells its version \(\S+\/bin\/smolvm does not\)$/,
    ],
    ["fails", "echo smolvm 1.9.3; exit 1", /^a smolvm that tells its version /],
    ["floods", "exec yes smolvm", /^a smolvm that runs \(\S+\/bin\/smolvm: /],
  ])("that %s is named, with what to install", async (_what, shell, what) => {
    install(shell);
    const lack = { what: expect.stringMatching(what), remedy: REMEDY };
    expect(await lookForSmolvm()).toEqual({ lack });
    expect(await probeSmolmachines()).toMatchObject({ usable: false, lacks: expect.arrayContaining([lack]) });
  });

  it("that is missing is named, and nothing is prepared for it", async () => {
    process.env["PATH"] = folder;
    expect(await lookForSmolvm()).toEqual({ lack: { what: "smolvm", remedy: REMEDY } });
    const backend = createSmolmachinesBackend();
    const preparing = backend.prepare({ plan: planFor(backend), tools: [] }, () => {});
    await expect(preparing).rejects.toMatchObject({
      ...{ name: "UserError", message: "smolmachines lacks smolvm", hint: REMEDY },
    });
  });
});
