/** An operator for one test: a folder of their own, with a home, git's identity and a canary that must survive. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface Operator {
  readonly area: string;
  /** A file that says when something of a stranger's ran on the host: it must never come to be. */
  readonly canary: string;
  path(...parts: readonly string[]): string;
  write(path: string, content: string | Buffer): string;
  /** Runs the operator's own git in `folder` below the area. */
  git(folder: string, ...args: readonly string[]): string;
  /** A repository with one commit of `files`. */
  repository(folder: string, files?: Readonly<Record<string, string>>): string;
  canaryIsUnharmed(): boolean;
  remove(): void;
}

export function createOperator(): Operator {
  const area = mkdtempSync(join(tmpdir(), "bottle-operator-"));
  const path = (...parts: readonly string[]): string => join(area, ...parts);
  mkdirSync(path("home"));
  const config =
    "[user]\n\tname = Operator\n\temail = operator@example.com\n[init]\n\tdefaultBranch = main\n";
  writeFileSync(path("home", ".gitconfig"), `${config}[protocol "file"]\n\tallow = always\n`);
  // What runs git on the operator's behalf finds their settings the way git does.
  process.env["HOME"] = path("home");
  process.env["GIT_CONFIG_NOSYSTEM"] = "1";
  const canary = path("canary");
  const operator: Operator = {
    area,
    canary,
    path,
    write(name, content) {
      mkdirSync(dirname(path(name)), { recursive: true });
      writeFileSync(path(name), content);
      return path(name);
    },
    git: (folder, ...args) =>
      execFileSync("git", ["-C", path(folder), ...args], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      }),
    repository(folder, files = { "a.txt": "one\n" }) {
      mkdirSync(path(folder), { recursive: true });
      operator.git(folder, "init", "-q");
      for (const [name, content] of Object.entries(files)) operator.write(join(folder, name), content);
      operator.git(folder, "add", "--all");
      operator.git(folder, "commit", "-q", "-m", "first");
      return path(folder);
    },
    canaryIsUnharmed: () => !existsSync(canary),
    remove: () => rmSync(area, { recursive: true, force: true }),
  };
  return operator;
}
