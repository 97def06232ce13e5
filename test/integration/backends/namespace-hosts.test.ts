/** The namespace backend on hosts that are not like the one it was written on, and on hosts where a step fails. */
import { describe, expect, it } from "vitest";
import { packagePath } from "../../../src/lib/package-root.ts";
import { type OuterOptions, programFile, runOutside } from "../../support/outer-network.ts";
import type { StartInput, StartReport } from "./programs/try-start.ts";

const PROGRAM = packagePath("test/integration/backends/programs/try-start.ts");
const isHostRoot = process.getuid?.() === 0;

function tryStart(
  options: Omit<OuterOptions, "input"> & { input?: Partial<StartInput> } = {},
): Promise<StartReport> {
  return runOutside<StartReport>(PROGRAM, { ...options, input: { shell: "id -u", ...options.input } });
}

const NON_MERGED = `
mount -n -t tmpfs tmpfs /mnt
cd /mnt
for d in /*; do
  d=\${d#/}
  case $d in bin|sbin|lib|lib64|lib32|libx32|mnt) continue;; esac
  if [ -d "/$d" ] && [ ! -L "/$d" ]; then mkdir "$d"; mount -n --rbind "/$d" "$d"; fi
done
for d in bin sbin lib lib64 lib32 libx32; do
  if [ -d "/$d" ]; then mkdir "$d"; mount -n --rbind "/$d/" "$d"; fi
done
mkdir old
pivot_root . old
umount -n -l old
cd "$PACKAGE"`;

const NVM = "/mnt/o'p e\"r/.nvm/versions/node/v20";

describe("a namespace guest starts, and leaves nothing,", () => {
  const works: Readonly<Record<string, { host?: Parameters<typeof tryStart>[0]; said: string }>> = {
    "on this host": { said: "1000" },
    "with a umask of 077": {
      host: { umask: 0o077, input: { shell: "id -u; cat /etc/hostname >/dev/null" } },
      said: "1000",
    },
    "where /bin and /lib are folders": {
      host: { prepare: NON_MERGED, input: { shell: "test -L /bin || echo folder; /bin/echo runs" } },
      said: "folder\nruns",
    },
    "with mounts below /usr, which stay read-only": {
      host: {
        prepare:
          "mount -n -t tmpfs tmpfs /usr/local; mkdir /usr/local/deep; mount -n -t tmpfs tmpfs /usr/local/deep",
        input: {
          shell: "for d in local local/deep; do touch /usr/$d/x 2>/dev/null && echo written; done; id -u",
        },
      },
      said: "1000",
    },
    "with node under a version manager in a closed home with an odd name, of which it sees node, npm and npx alone":
      {
        host: {
          prepare: `mount -n -t tmpfs -o mode=700 tmpfs /mnt
          p=${JSON.stringify(NVM).replaceAll("$", "\\$")}
          npm=$(readlink -f "$(command -v npm)"); npm=\${npm%/bin/npm-cli.js}
          mkdir -p "$p/bin" "$p/etc" "$p/share/keyrings" "$p/lib/node_modules/npm" "$p/lib/node_modules/private"
          : >"$p/bin/node"; ln -s node "$p/bin/tool"
          for f in etc/npmrc share/keyrings/login lib/node_modules/private/key; do echo secret >"$p/$f"; done
          mount -n --bind "$NODE" "$p/bin/node"
          mount -n --bind "$npm" "$p/lib/node_modules/npm"`,
          node: `${NVM}/bin/node`,
          input: {
            shell: `command -v node; node -p 'process.getuid()'
            for each in npm npx; do command -v $each; $each --version | grep -c '^[0-9.]*$'; done
            cd /opt/bottle/node; ls; ls bin lib lib/node_modules`,
          },
        },
        said: [
          ...["/opt/bottle/node/bin/node", "1000"],
          ...["/opt/bottle/node/bin/npm", "1", "/opt/bottle/node/bin/npx", "1"],
          ...[
            "bin",
            "lib",
            "bin:",
            "node",
            "npm",
            "npx",
            "",
            "lib:",
            "node_modules",
            "",
            "lib/node_modules:",
            "npm",
          ],
        ].join("\n"),
      },
    "with its state on a file system without set-id, devices and access times": {
      host: {
        input: { stateMount: "nosuid,nodev,noatime", shell: "echo 'echo runs' >x; chmod +x x; sh -c ./x" },
      },
      said: "runs",
    },
    "with its state on a file system without programs, where home has none either": {
      host: {
        input: {
          stateMount: "noexec",
          shell:
            "cp /bin/true x; ./x 2>/dev/null || echo refused; grep -c ' /home/node .*noexec' /proc/self/mountinfo",
        },
      },
      said: "refused\n1",
    },
    "without bubblewrap, filtered by perl": {
      host: {
        hide: hidden("bwrap"),
        input: { shell: "grep Seccomp: /proc/self/status; grep Seccomp: /proc/1/status" },
      },
      said: "Seccomp:\t2\nSeccomp:\t2",
    },
    "without bubblewrap and perl, unfiltered": {
      host: { hide: hidden("bwrap", "perl"), input: { shell: "grep Seccomp: /proc/self/status" } },
      said: "Seccomp:\t0",
    },
  };
  it.each(Object.entries(works))("%s", async (_, { host, said }) => {
    const report = await tryStart(host);
    expect(report).toMatchObject({ said, left: [], availability: { usable: true } });
  });

  it("and says of a host without bubblewrap and perl that the filter is missing, and how to get it", async () => {
    const { availability } = await tryStart({ hide: hidden("bwrap", "perl") });
    expect(availability).toMatchObject({ strength: expect.stringContaining("no seccomp filter") });
    expect(availability.lacks).toContainEqual({
      what: expect.stringContaining("seccomp filter"),
      remedy: "apt-get install bubblewrap",
    });
  });

  it.runIf(isHostRoot)("as root of a container with 65,536 users", async () => {
    const report = await tryStart({ container: { first: 300_000, count: 65_536 } });
    expect(report).toMatchObject({ said: "1000", left: [] });
  });

  it.runIf(isHostRoot)("as an ordinary user who is called root in a user namespace of his own", async () => {
    const report = await tryStart({ container: { first: 300_000, count: 1 } });
    expect(report).toMatchObject({ said: "1000", left: [] });
  });

  it.runIf(isHostRoot)(
    "but not as the host's root who is alone in one, because there is nobody to run it as",
    async () => {
      const report = await tryStart({ container: { first: 0, count: 1 } });
      expect(report.availability.usable).toBe(false);
      expect(report.error).toContain("root is the only user");
      expect(report.left).toEqual([]);
    },
  );
});

function hidden(...names: readonly string[]): readonly string[] {
  return names.map(programFile).filter((path) => path !== undefined);
}

describe("a namespace guest that cannot start says why, and leaves nothing,", () => {
  it.each(["unshare", "setpriv", "mount", "pivot_root", "prlimit", "nsenter"])(
    "where %s cannot be run, of which the probe knows",
    async (name) => {
      const { availability, error, left } = await tryStart({ hide: hidden(name) });
      expect(availability).toMatchObject({ usable: false, lacks: [{ what: name }] });
      expect(error).toContain(name);
      expect(left).toEqual([]);
    },
  );

  it.each(["umount", "mkdir", "ln"])("where %s cannot be run", async (name) => {
    const { error, left } = await tryStart({ hide: hidden(name) });
    expect(error).toMatch(/^cannot start the guest: /);
    expect(error).toContain(`${name}: Permission denied`);
    expect(left).toEqual([]);
  });

  it("where its process 1 cannot be run", async () => {
    const { error, left } = await tryStart({ hide: hidden("cat") });
    expect(error).toMatch(/^cannot start the guest: /);
    expect(left).toEqual([]);
  });

  it("where the node that it would run is not there for its user", async () => {
    const { error, left } = await tryStart({
      prepare: 'mount -n -t tmpfs tmpfs /mnt; cp "$NODE" /mnt/node; chmod 700 /mnt/node',
      node: "/mnt/node",
    });
    // An ordinary user's guest is himself.
    if (isHostRoot) expect(error).toMatch(/^cannot start the guest: .*Permission denied/s);
    else expect(error).toBeUndefined();
    expect(left).toEqual([]);
  });

  it("where its state directory is full", async () => {
    const { error, left } = await tryStart({ input: { stateMount: "size=16k" } });
    expect(error).toMatch(/ENOSPC|No space/);
    expect(left).toEqual([]);
  });

  it("when its set-up is killed", async () => {
    const { error, left } = await tryStart({ input: { killSetUp: true } });
    expect(error).toMatch(/SIGKILL|cannot set up|cannot start/);
    expect(left).toEqual([]);
  });
});
