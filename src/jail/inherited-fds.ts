/**
 * Keeps file descriptors that we were born with out of a jail. Node opens everything close-on-exec, but what our
 * own parent left open without (`exec 200>lock` in a script, a terminal multiplexer's log, a folder) goes on to
 * whatever we start, through every exec down to the guest: an open file is a way past any mount namespace,
 * and an open folder is a way to the whole host.
 */
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";

/** O_CLOEXEC as proc(5) shows it in fdinfo's `flags`, in octal: the same on x64 and arm64. */
const CLOSE_ON_EXEC = 0o2000000;

/** Numbers above the standard streams that a program started now would inherit. */
export function inheritedFds(): readonly number[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => fd > 2 && wouldBeInherited(fd));
}

function wouldBeInherited(fd: number): boolean {
  try {
    const [, flags = ""] = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")) ?? [];
    return (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0;
  } catch {
    // The listing's own descriptor is closed by now.
    return false;
  }
}

/**
 * Calls `start` with a `stdio` that is `stdio` and, at each inherited number beyond it, /dev/null: what is there
 * already is not closed by anything on the way into a jail, but it can be replaced.
 */
export function coverInherited<S, T>(stdio: readonly S[], start: (stdio: (S | "ignore" | number)[]) => T): T {
  const nothing = openSync("/dev/null", "r");
  try {
    const covered: (S | "ignore" | number)[] = [...stdio];
    for (const fd of inheritedFds()) {
      if (fd < stdio.length) continue;
      // "ignore" leaves a number as it is.
      while (covered.length < fd) covered.push("ignore");
      covered[fd] = nothing;
    }
    return start(covered);
  } finally {
    closeSync(nothing);
  }
}
