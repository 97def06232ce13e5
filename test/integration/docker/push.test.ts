/** git-gate in the sidecars' container: it pushes where it may, and what it may. */
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { engineLack, engineVariables, startEngine, type TestEngine } from "../../support/docker-engine.ts";
import { createGated, type Gated, giveAway } from "../../support/gated-bottle.ts";
import { snapshot, TOKEN } from "../../support/git-gate.ts";
import { podmanLack, startPodman } from "../../support/podman-engine.ts";

const isShort = process.env["SOAK"] === undefined;
const ways = [
  { name: "docker", lack: engineLack(), start: () => startEngine() },
  { name: "podman", lack: isShort ? "long: npm run soak -- docker" : podmanLack(), start: startPodman },
];
for (const { name, lack } of ways)
  if (lack !== undefined) console.warn(`SKIPPED: git-gate in a container of ${name}: ${lack}`);

describe.each(ways)("an agent on $name behind git-gate", ({ lack, start }) => {
  const it = test.skipIf(lack !== undefined);
  let engine: Pick<TestEngine, "env" | "close">;
  let gated: Gated;
  let here: string;
  let id: string;
  beforeAll(async () => {
    if (lack !== undefined) return;
    engine = await start();
    gated = await createGated();
    Object.assign(gated.cli.env, engineVariables(engine));
    here = giveAway(gated.bare("here"));
    await gated.cli.git(gated.project, "remote", "add", "origin", here);
    gated.agent("dev", { here: { url: here } }, { backend: "docker" });
    id = await gated.start("dev", "--cwd", gated.project);
  }, 300_000);
  afterAll(async () => {
    await gated?.remove();
    await engine?.close();
  }, 60_000);

  const refOf = (ref: string): string =>
    execFileSync("git", ["--git-dir", here, "for-each-ref", "--format=%(objectname)", ref], {
      encoding: "utf8",
    }).trim();

  it("fetches, and pushes a branch of its own", async () => {
    await gated.sh(
      id,
      "cd workspace && git fetch -q origin && echo more >more && git add more && git commit -qm more",
    );
    const head = await gated.sh(id, "cd workspace && git rev-parse HEAD");
    await gated.sh(id, `cd workspace && git push -q origin HEAD:refs/heads/bottle/${id}/more`);
    expect(refOf(`refs/heads/bottle/${id}/more`)).toBe(head);
  });

  it("is refused a branch that is not its own, and a secret, and upstream is as it was", async () => {
    const before = snapshot(here);
    const other = await gated.inside(id, "cd workspace && git push origin HEAD:refs/heads/main");
    expect(other.code).toBe(1);
    expect(other.stderr).toContain("denied: ref-not-allowed");
    const secret = await gated.inside(
      id,
      `cd workspace && echo '${TOKEN}' >key && git add -f key && git commit -qm key && git push origin HEAD:refs/heads/bottle/${id}/key`,
    );
    expect(secret.code).toBe(1);
    expect(secret.stderr).toContain("denied: secret-found");
    expect(snapshot(here)).toEqual(before);
  });
});
