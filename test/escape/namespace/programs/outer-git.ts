/**
 * In the outer world, where no address leads out and impostors own them: a git upstream on every one of them, over ssh and
 * over git's own protocol, and a bottle whose agent is behind git-gate and was even given the key.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { removeTree } from "../../../../src/lib/remove-tree.ts";
import { createBottleCli, eventually } from "../../../support/bottle-cli.ts";
import { run } from "../../../support/git-gate.ts";
import { IMPOSTORS, outerArguments } from "../../../support/outer-network.ts";
import { startSshd } from "../../../support/sshd.ts";

export interface GitReachReport {
  /** By the gate, as the bottle's agent is meant to. */
  readonly gate: string;
  readonly probes: readonly { readonly url: string; readonly outside: string; readonly inside: string }[];
}

const { resultFile } = outerArguments<null>();
const cli = createBottleCli();
const world = mkdtempSync("/tmp/bbw-");
chmodSync(world, 0o755);
const project = await cli.repository("project");
const bare = join(world, "far.git");
execFileSync("git", ["clone", "--quiet", "--bare", project, bare], { env: cli.env });
const sshd = await startSshd(join(world, "sshd"), "0.0.0.0");
const daemon: ChildProcess = spawn(
  "git",
  ["daemon", "--export-all", "--reuseaddr", `--base-path=${world}`, "--listen=0.0.0.0"],
  { stdio: "ignore" },
);
await eventually("git daemon", () => answers(9418));
const keyFile = join(cli.root, "id");
writeFileSync(keyFile, sshd.privateKey, { mode: 0o600 });

cli.agent("dev", ["sleep", "infinity"], {
  bottle: {
    "git-gate": {
      repos: {
        far: {
          url: `ssh://${sshd.user}@${IMPOSTORS.lan}:${sshd.port}${bare}`,
          ...{ key: keyFile, host_key: sshd.hostKey },
        },
      },
    },
  },
});
const id = await cli.start("dev");
const inside = (text: string): ReturnType<typeof cli.run> =>
  cli.run(["exec", "-T", id, "--", "sh", "-c", text]);
try {
  // Worse than it can be: the agent has the key.
  await inside(`cat >~/id <<'END'\n${readFileSync(keyFile, "utf8")}END\nchmod 600 ~/id`);
  const gate = await inside("git ls-remote git-gate:far HEAD");
  const ssh = (key: string): string =>
    `ssh -F /dev/null -i ${key} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=3`;
  const addresses = [IMPOSTORS.lan, IMPOSTORS.gateway, IMPOSTORS.docker, IMPOSTORS.metadata, "127.0.0.1"];
  const probes = [];
  for (const address of addresses) {
    for (const url of [`ssh://${sshd.user}@${address}:${sshd.port}${bare}`, `git://${address}/far.git`]) {
      const outside = await run(["git", "ls-remote", url, "HEAD"], {
        env: { GIT_SSH_COMMAND: ssh(keyFile) },
      });
      const within = await inside(
        `env GIT_CONFIG_GLOBAL=/dev/null GIT_SSH_COMMAND='${ssh("$HOME/id")}' git ls-remote ${url} HEAD`,
      );
      probes.push({
        url,
        outside: outside.stdout,
        inside: `${within.code} ${within.stdout}${within.stderr}`,
      });
    }
  }
  const report: GitReachReport = { gate: gate.stdout, probes };
  writeFileSync(resultFile, JSON.stringify(report));
} finally {
  await cli.run(["rm", "--force", id]);
  await cli.remove();
  daemon.kill();
  sshd.close();
  await removeTree(world);
}
process.exit();

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(socket.destroy() !== undefined));
    socket.once("error", () => resolve(false));
  });
}
