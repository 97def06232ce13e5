/**
 * A guest for tests that need `exec` and nothing else: each program runs in a user and mount namespace of its
 * own, as uid 1000, with a home, /tmp and /etc that are folders of the host's under `root`. No isolation of
 * networks or processes: hostile *files* are what the tests bring.
 */
import { spawn } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Execution, ExitStatus, Guest } from "../../src/contract/backend.ts";
import { GUEST } from "../../src/contract/backend.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { copyInOverExec, copyOutOverExec } from "../../src/provision/transfer.ts";

/** Who the guest is outside when the tests run as root: nobody's, and not 65534, whom the kernel shows for strangers. */
const UNPRIVILEGED = 61_234;

export interface LocalGuest extends Guest {
  /** Host folder behind a guest path below the home, /tmp or /etc. */
  hostPath(guestPath: string): string;
  /** Runs a shell script as the agent; throws unless it exits 0. Returns its output. */
  sh(script: string): Promise<string>;
  remove(): Promise<void>;
}

export function createLocalGuest(
  options: { readonly env?: Readonly<Record<string, string>> } = {},
): LocalGuest {
  const root = mkdtempSync(join(tmpdir(), "bottle-guest-"));
  const uid = process.getuid?.() ?? 0;
  const isRoot = uid === 0;
  // The guest's user has to pass through it.
  chmodSync(root, 0o711);
  for (const name of ["home", "tmp", "etc", "etc/ssl", "etc/ssl/certs", "home/workspace"]) {
    mkdirSync(join(root, name));
    if (isRoot) chownSync(join(root, name), UNPRIVILEGED, UNPRIVILEGED);
  }
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n");
  writeFileSync(join(root, "etc/hosts"), "127.0.0.1 localhost\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\nnode:x:1000:\n");
  const env = {
    PATH: "/usr/local/bin:/usr/bin:/bin",
    HOME: GUEST.home,
    USER: GUEST.user,
    LANG: "C.UTF-8",
    ...options.env,
  };
  const setup = [
    "mount --bind $0/etc /etc",
    "mount -t tmpfs tmpfs /home && mkdir /home/node && mount --bind $0/home /home/node",
    "mount --bind $0/tmp /tmp",
    'cd "$1" && shift && exec "$@"',
  ].join(" && ");
  const drop = isRoot
    ? ["setpriv", `--reuid=${UNPRIVILEGED}`, `--regid=${UNPRIVILEGED}`, "--clear-groups"]
    : [];
  const enter = (user: "agent" | "root"): readonly string[] => {
    const map =
      user === "root" ? ["--map-root-user"] : ["--map-user=1000", "--map-group=1000", "--keep-caps"];
    const powerless = [
      "setpriv",
      "--inh-caps=-all",
      "--ambient-caps=-all",
      "--bounding-set=-all",
      "--no-new-privs",
    ];
    return [
      ...drop,
      "unshare",
      "--user",
      "--mount",
      ...map,
      "sh",
      "-ec",
      setup,
      root,
      ...(user === "root" ? [] : powerless),
    ];
  };

  const exec: Guest["exec"] = async (argv, { cwd = GUEST.home, user = "agent", signal, ...more } = {}) => {
    const [program = "", ...before] = enter(user);
    // `sh` takes the working directory first; setpriv, where it is used, stands between it and the program.
    const at = before.indexOf(root) + 1;
    const args = [...before.slice(0, at), cwd, ...before.slice(at), ...argv];
    const child = spawn(program, args, {
      cwd: "/",
      env: { ...env, ...more.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const stop = (): void => void child.kill("SIGKILL");
    signal?.addEventListener("abort", stop, { once: true });
    const exit = new Promise<ExitStatus>((resolve) => {
      child.on("error", (error) => resolve({ kind: "lost", reason: error.message }));
      child.on("exit", (code, ending) => {
        signal?.removeEventListener("abort", stop);
        resolve(
          ending === null ? { kind: "exited", code: code ?? 0 } : { kind: "signalled", signal: ending },
        );
      });
    });
    const { stdin, stdout, stderr } = child;
    stdin.on("error", () => {});
    return {
      stdin,
      stdout,
      stderr,
      exit,
      kill: (name) => void child.kill(name),
      resize() {},
    } satisfies Execution;
  };

  const hostPath = (guestPath: string): string => {
    if (guestPath.startsWith(`${GUEST.home}/`)) return join(root, "home", guestPath.slice(GUEST.home.length));
    return join(root, guestPath);
  };

  return {
    exec,
    hostPath,
    copyIn: (from, to, owner) => copyInOverExec(exec, from, to, owner),
    copyOut: (from, to) => copyOutOverExec(exec, from, to),
    dial: () => Promise.reject(new Error("a local guest has no servers")),
    probe: () => Promise.reject(new Error("a local guest is not isolated")),
    ended: new Promise(() => {}),
    async sh(script) {
      const run = await exec(["sh", "-ec", script], { cwd: GUEST.workspace });
      run.stdin.end();
      const [out, err] = await Promise.all([run.stdout.toArray(), run.stderr.toArray()]);
      const status = await run.exit;
      const text = Buffer.concat(out as Buffer[]).toString();
      if (status.kind !== "exited" || status.code !== 0) {
        throw new Error(
          `${script}: ${JSON.stringify(status)} ${text}${Buffer.concat(err as Buffer[]).toString()}`,
        );
      }
      return text;
    },
    remove: () => removeTree(root),
  };
}
