/** Bottles behind git-gate: an operator with upstreams of every kind, and what those hold. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { type BottleCli, createBottleCli, isRoot, type Run } from "./bottle-cli.ts";
import { type Sshd, startSshd } from "./sshd.ts";

/** Who owns repositories that root's git-gate works in. */
const OWNER = 54_321;

export interface Gated {
  readonly cli: BottleCli;
  /** Upstreams and their servers: beside the operator's own folder, where a bottle's leftovers are looked for. */
  readonly world: string;
  readonly sshd: Sshd;
  /** A key file that the sshd lets in. */
  readonly keyFile: string;
  /** A working copy with one commit, of which upstreams are clones. */
  readonly project: string;
  /** A bare clone of the project. */
  bare(name: string): string;
  /** Keys of a repository of the manifest. */
  overSsh(bare: string): Readonly<Record<string, unknown>>;
  /** Writes an agent that does nothing, in a bottle with these repositories. */
  agent(
    name: string,
    repos: Readonly<Record<string, unknown>>,
    /** Further keys of the bottle. */
    more?: Readonly<Record<string, unknown>>,
  ): void;
  start(name: string, ...flags: readonly string[]): Promise<string>;
  /** Runs a shell text in a bottle. */
  inside(id: string, text: string): Promise<Run>;
  /** Its output; throws when it fails. */
  sh(id: string, text: string): Promise<string>;
  gatePid(id: string): Promise<number>;
  remove(): Promise<void>;
}

export async function createGated(): Promise<Gated> {
  const cli = createBottleCli();
  const world = mkdtempSync("/tmp/bbw-");
  chmodSync(world, 0o755);
  const sshd = await startSshd(join(world, "sshd"));
  const keyFile = join(cli.root, "keys", "id_ed25519");
  mkdirSync(dirname(keyFile), { mode: 0o700 });
  writeFileSync(keyFile, sshd.privateKey, { mode: 0o600 });
  const project = await cli.repository("project", {
    "README.md": "# A project\n",
    "src/main.ts": "export {};\n",
  });
  const inside = (id: string, text: string): Promise<Run> =>
    cli.run(["exec", "-T", id, "--", "sh", "-c", text]);
  return {
    ...{ cli, world, sshd, keyFile, project, inside },
    bare(name) {
      const bare = join(world, `${name}.git`);
      execFileSync("git", ["clone", "--quiet", "--bare", project, bare], { env: cli.env, stdio: "ignore" });
      return bare;
    },
    overSsh: (bare) => ({
      url: `ssh://${sshd.user}@127.0.0.1:${sshd.port}${bare}`,
      ...{ key: keyFile, host_key: sshd.hostKey },
    }),
    agent(name, repos, more = {}) {
      cli.agent(name, ["sleep", "infinity"], { bottle: { "git-gate": { repos }, ...more } });
    },
    start: (name, ...flags) => cli.start(name, ...flags),
    async sh(id, text) {
      const { code, stdout, stderr } = await inside(id, text);
      if (code !== 0) throw new Error(`${text}: exit ${code}: ${stdout}${stderr}`);
      return stdout.trimEnd();
    },
    async gatePid(id) {
      const gate = (await cli.status(id)).sidecars.find(({ name }) => name === "git-gate");
      if (gate === undefined) throw new Error("no git-gate");
      return gate.pid;
    },
    async remove() {
      await cli.remove();
      sshd.close();
      await removeTree(world);
    },
  };
}

/** Root's git-gate works in nothing of root's. */
export function giveAway(bare: string): string {
  if (isRoot) execFileSync("chown", ["-R", `${OWNER}:${OWNER}`, bare]);
  return bare;
}
