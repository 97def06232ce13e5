/**
 * Programs that stop where a test wants them to: a `git` and an `ssh` that come first in a gate's PATH, run the real ones, and
 * wait before or after those whose words match a pattern, for as long as a file is there.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "./git-gate.ts";

export interface Pause {
  /** A pattern of the shell's for `<method> <path> <program> <arguments>`; method and path are those of a CGI. */
  readonly at: string;
  readonly when: "before" | "after";
}

export interface PausedPrograms {
  /** For PATH. */
  readonly path: string;
  /** A text of the shell's that waits, for hooks; it begins with a line break. */
  readonly wait: string;
  pause(pause: Pause): void;
  /** Whether something waits. */
  reached(): boolean;
  /** Process ids of those that wait in a program of ours. */
  waiting(): readonly number[];
  goOn(): void;
}

export async function pausedPrograms(folder: string): Promise<PausedPrograms> {
  const [path, control] = [join(folder, "bin"), join(folder, "control")];
  for (const each of [path, control]) mkdirSync(each, { recursive: true, mode: 0o777 });
  chmodSync(control, 0o777);
  const file = (name: string): string => join(control, name);
  const wait = `\n[ ! -e ${file("hold")} ] || { echo $$ >>${file("reached")}; while [ -e ${file("hold")} ]; do sleep 0.03; done; }\n`;
  for (const name of ["git", "ssh"]) {
    const real = await must(["sh", "-c", `command -v ${name}`]);
    const text = [
      "#!/bin/sh",
      `words="$REQUEST_METHOD $PATH_INFO ${name} $*"`,
      `at() { test -e "$1" && read -r pattern <"$1" && case $words in $pattern) return 0 ;; esac; return 1; }`,
      `if at ${file("before")}; then ${wait} fi`,
      `if at ${file("after")}; then ${real} "$@"; code=$?; ${wait} exit $code; fi`,
      `exec ${real} "$@"`,
    ];
    writeFileSync(join(path, name), `${text.join("\n")}\n`, { mode: 0o755 });
  }
  const clear = (): void => {
    for (const name of ["hold", "before", "after", "reached"]) rmSync(file(name), { force: true });
  };
  // The file is there before its first line is whole, and no number is 0: to signal that is to signal ourselves.
  const waiting = (): readonly number[] =>
    existsSync(file("reached"))
      ? [...readFileSync(file("reached"), "utf8").matchAll(/^([1-9][0-9]*)\n/gm)].map(([, pid]) =>
          Number(pid),
        )
      : [];
  return {
    path,
    wait,
    pause({ at, when }) {
      clear();
      writeFileSync(file("hold"), "");
      writeFileSync(file(when), `${at}\n`);
    },
    reached: () => waiting().length > 0,
    waiting,
    goOn: clear,
  };
}
