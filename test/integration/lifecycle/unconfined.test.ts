/**
 * Sidecars on a host that has no namespaces for them: processes like any of the operator's, said so beforehand, and gone
 * with their keeper all the same. The host is made one by an `unshare` that refuses the one thing that is tried.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeCertificateAuthority } from "../../../demo/upstreams/certificate-authority.ts";
import { startPlainSite, type Upstream } from "../../doubles/upstreams.ts";
import { type BottleCli, createBottleCli, eventually, isAlive, isRoot } from "../../support/bottle-cli.ts";
import { programFile } from "../../support/outer-network.ts";
import { realPid } from "../../support/pid-of.ts";
import { installPipelock } from "../../support/pipelock.ts";
import { HAS_SSHD, type Sshd, startSshd } from "../../support/sshd.ts";

/** Not root, and somebody whom ssh finds among the host's users. */
const USER = Number(/^games:[^:]*:(\d+):/m.exec(readFileSync("/etc/passwd", "utf8"))?.[1] ?? 0);
const PROBE = "--user --map-root-user --mount --pid --fork -- true";

describe.runIf(isRoot && HAS_SSHD && USER > 0)("sidecars that cannot be confined", () => {
  let cli: BottleCli;
  let folder = "";
  let path: string | undefined;
  let site: Upstream;
  let sshd: Sshd;
  let id = "";
  const sidecar = async (name: string): Promise<number> =>
    realPid((await cli.status(id)).sidecars.find((each) => each.name === name)?.pid);
  const inside = async (text: string) => cli.run(["exec", "-T", id, "--", "sh", "-c", text]);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "bbu-"));
    chmodSync(folder, 0o755);
    const bin = join(folder, "bin");
    mkdirSync(bin);
    writeFileSync(
      join(bin, "unshare"),
      `#!/bin/sh\n[ "$*" = "${PROBE}" ] && exit 1\nexec ${programFile("unshare")} "$@"\n`,
      { mode: 0o755 },
    );
    const authority = await makeCertificateAuthority("a test's");
    writeFileSync(join(folder, "ca.pem"), authority.certificate);
    site = await startPlainSite({ tls: await authority.issue(["allowed.test"]) });
    sshd = await startSshd(join(folder, "sshd"));
    path = process.env["PATH"];
    process.env["PATH"] = `${bin}:${installPipelock(folder, { "allowed.test:443": site.port })}:${path}`;
    cli = createBottleCli({
      words: () => ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", "--"],
    });
    const bare = join(folder, "bare.git");
    const project = await cli.repository("project", { "README.md": "# A project\n" });
    execFileSync("git", ["clone", "--quiet", "--bare", project, bare], { stdio: "ignore" });
    const key = join(cli.root, "id_ed25519");
    writeFileSync(key, sshd.privateKey, { mode: 0o600 });
    cli.agent("sh", ["sleep", "600"], {
      bottle: {
        backend: "namespace",
        supervise: true,
        "git-gate": {
          repos: {
            project: {
              url: `ssh://${sshd.user}@127.0.0.1:${sshd.port}${bare}`,
              ...{ key, host_key: sshd.hostKey },
            },
          },
        },
        egress: { pipelock: true, upstream_ca: [join(folder, "ca.pem")], routes: [{ host: "allowed.test" }] },
      },
    });
    execFileSync("chown", ["-R", `${USER}:${USER}`, cli.root]);
    chmodSync(cli.root, 0o755);
  }, 60_000);
  afterAll(async () => {
    process.env["PATH"] = path;
    await cli.remove();
    await site.close();
    sshd.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("are said to be before the bottle starts, and serve it: egress, its pipelock, git-gate", async () => {
    const start = await cli.run(["start", "sh", "--detach", "--yes"]);
    expect(start, start.stderr).toMatchObject({ code: 0 });
    expect(start.stderr).toMatch(/sidecars +NOT CONFINED/);
    id = start.stdout.trim();
    const fetched = await inside(
      'curl -sS https://allowed.test/echo && git clone -q https://project p 2>&1 || git clone -q "$GIT_GATE_URL/project.git" p && cat p/README.md',
    );
    expect(fetched.stdout, fetched.stderr).toContain(`"/echo"`);
    expect(fetched.stdout, fetched.stderr).toContain("# A project");
    expect((await inside("curl -sS https://elsewhere.test/")).stdout).toContain("host-not-allowed");
    for (const name of ["egress", "git-gate", "pipelock"]) {
      const pid = await sidecar(name);
      expect(readlinkSync(`/proc/${pid}/ns/mnt`), name).toBe(readlinkSync("/proc/self/ns/mnt"));
      expect(statSync(`/proc/${pid}`).uid, name).toBe(USER);
    }
  });

  it("leave nothing that they started when one of them is killed, neither ssh's kept connection nor pipelock", async () => {
    const started = (word: RegExp): readonly number[] =>
      readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .filter((pid) => word.test(commandOf(pid)) && ownerOf(pid) === USER)
        .map(Number);
    const [masters, pipelocks] = [started(/ControlMaster=yes/), started(/pipelock\0run/)];
    expect(masters.length).toBeGreaterThan(0);
    expect(pipelocks.length).toBeGreaterThan(0);
    for (const name of ["git-gate", "pipelock"]) process.kill(await sidecar(name), "SIGKILL");
    await eventually("their programs' end", () =>
      [...masters, ...pipelocks].some(isAlive) ? undefined : true,
    );
    await eventually("their return", async () =>
      (await inside("curl -sS https://allowed.test/echo")).stdout.includes(`"/echo"`) ? true : undefined,
    );
  });

  it("end with their keeper, however it ends, and cleanup removes the rest", async () => {
    const { keeperPid } = await cli.status(id);
    const pids = cli.processes();
    process.kill(realPid(keeperPid), "SIGKILL");
    await eventually("everybody's end", () => (pids.some(isAlive) ? undefined : true));
    const cleaned = await cli.run(["cleanup", "--yes"]);
    expect(cleaned, cleaned.stderr).toMatchObject({ code: 0 });
    await cli.run(["rm", "--force", id]);
    await cli.expectNothingLeft();
  });
});

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

function ownerOf(pid: string): number {
  try {
    return statSync(`/proc/${pid}`).uid;
  } catch {
    return -1;
  }
}
