/** The demo, with the real Claude Code, in machines of each release of smolvm's. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cacheOf } from "../../../src/lib/paths.ts";
import { claude } from "../../../src/providers/claude.ts";
import { drawn } from "../../support/random.ts";
import { BOTTLE, runProgram } from "../../support/real-bottle.ts";
import { because, installSmolvm, machineLack, SMOLVM_VERSIONS } from "../../support/smolvm.ts";

const WITHIN_MS = 120_000;

interface Report {
  readonly holds: boolean;
  readonly lines: readonly { readonly what: string; readonly seen: string; readonly holds: boolean }[];
}

const lack = machineLack();
if (lack !== undefined) console.warn(`SKIPPED: the demo in a machine: ${lack}`);

describe.skipIf(lack !== undefined)(`bottle demo in a machine${because(lack)}`, () => {
  let folder = "";
  beforeAll(async () => {
    await claude.install(cacheOf(), () => {});
    folder = realpathSync(mkdtempSync(join(tmpdir(), "bbd-")));
    mkdirSync(join(folder, "cache"));
    symlinkSync(join(cacheOf(), "providers"), join(folder, "cache", "providers"));
  }, 600_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(drawn("the demo in machines", SMOLVM_VERSIONS, 1))(
    "of smolvm %s shows that all holds",
    async (version) => {
      const run = await runProgram([process.execPath, BOTTLE, "demo", "--json"], {
        cwd: folder,
        timeoutMs: WITHIN_MS,
        env: {
          PATH: `${installSmolvm(folder, version)}:${process.env["PATH"]}`,
          HOME: folder,
          TMPDIR: folder,
          BOT_BOTTLE_CACHE: join(folder, "cache"),
          BOT_BOTTLE_BACKEND: "smolmachines",
        },
      });
      const report = JSON.parse(run.stdout) as Report;
      expect(
        report.lines.filter(({ holds }) => !holds),
        run.stderr,
      ).toEqual([]);
      expect(report.lines).toHaveLength(11);
      expect(run).toMatchObject({ code: 0 });
      expect(run.stderr).toContain(`libkrun micro-VM by smolvm ${version}`);
    },
    WITHIN_MS,
  );
});
