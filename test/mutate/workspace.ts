/** A copy of the tree in which one thing at a time is broken, and its tests run. */
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";

/** What tests of egress and inspection read, and a build. */
const COPIED = [
  ...["src", "test", "demo", "docs", "scripts", "containers"],
  ...["package.json", "package-lock.json", "tsconfig.json", "vitest.config.ts"],
];
/** A mutant may make a test wait for what never comes; that too is noticed. */
const PATIENCE_MS = 3 * 60_000;

const reportSchema = z.object({
  numTotalTests: z.number(),
  testResults: z.array(
    z.object({
      status: z.string(),
      message: z.string().optional(),
      assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })),
    }),
  ),
});

export interface Outcome {
  readonly tests: number;
  /** Full names of the tests that failed. */
  readonly failed: readonly string[];
}

export interface Change {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export class Workspace {
  readonly root: string;

  constructor(source: string) {
    this.root = mkdtempSync(join(tmpdir(), "mutate-"));
    for (const name of COPIED) cpSync(join(source, name), join(this.root, name), { recursive: true });
    symlinkSync(join(source, "node_modules"), join(this.root, "node_modules"));
  }

  /** Why this cannot be broken: what is to be replaced is not there, or not once. */
  faultOf({ file, find }: Pick<Change, "file" | "find">): string | undefined {
    const count = readFileSync(join(this.root, file), "utf8").split(find).length - 1;
    return count === 1 ? undefined : `stands ${count} times in ${file}: ${find}`;
  }

  async broken<T>(change: Change, then: () => Promise<T>): Promise<T> {
    const path = join(this.root, change.file);
    const text = readFileSync(path, "utf8");
    writeFileSync(
      path,
      text.replace(change.find, () => change.replace),
    );
    try {
      return await then();
    } finally {
      writeFileSync(path, text);
    }
  }

  /** @param bail ends at the first failure. */
  async run(
    tests: readonly string[],
    options: { readonly pattern?: string; readonly bail: boolean },
  ): Promise<Outcome> {
    const report = join(this.root, "report.json");
    rmSync(report, { force: true });
    const args = [
      ...["run", ...tests, "--reporter=json", `--outputFile=${report}`],
      ...(options.bail ? ["--bail=1"] : []),
      ...(options.pattern === undefined ? [] : ["-t", options.pattern]),
    ];
    const said = await this.#vitest(args);
    if (said === undefined) return { tests: 1, failed: [`no end within ${PATIENCE_MS / 60_000} minutes`] };
    let text: string;
    try {
      text = readFileSync(report, "utf8");
    } catch {
      throw new Error(`the tests said nothing: ${said.slice(-2000)}`);
    }
    const { testResults } = reportSchema.parse(JSON.parse(text));
    const all = testResults.flatMap(({ assertionResults }) => assertionResults);
    const failed = all.filter(({ status }) => status === "failed").map(({ fullName }) => fullName);
    // Where a hook fails, no test does.
    const unloaded = testResults.filter(
      ({ status, assertionResults }) =>
        status === "failed" && !assertionResults.some((one) => one.status === "failed"),
    );
    const misspelt = unloaded.find(({ message }) =>
      /transform failed|syntaxerror|parse error/i.test(message ?? ""),
    );
    if (misspelt !== undefined) throw new Error(`this is no program: ${misspelt.message}`);
    return {
      tests: all.filter(({ status }) => status === "passed" || status === "failed").length,
      failed: [...failed, ...unloaded.map(({ message }) => message ?? "a file that could not be loaded")],
    };
  }

  /** What it printed; undefined when it did not end. With all of its workers, which a loop in a mutant keeps busy. */
  #vitest(args: readonly string[]): Promise<string | undefined> {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, [join(this.root, "node_modules/vitest/vitest.mjs"), ...args], {
        cwd: this.root,
        stdio: ["ignore", "pipe", "pipe"],
        detached: true,
      });
      let said = "";
      let isLate = false;
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (chunk: Buffer) => (said += chunk.toString()));
      const timer = setTimeout(() => {
        isLate = true;
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      }, PATIENCE_MS);
      child.once("close", () => {
        clearTimeout(timer);
        resolve(isLate ? undefined : said);
      });
    });
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
