/** I8: whatever an agent pushes, upstream gets nothing that is not on the bottle's log before. */
import { execFileSync } from "node:child_process";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { eventually } from "../../support/bottle-cli.ts";
import { createGated, type Gated } from "../../support/gated-bottle.ts";

let gated: Gated;
beforeAll(async () => {
  gated = await createGated();
});
afterAll(() => gated.remove());

/** Pushes to one branch after the other, as fast as it can, and says which went well. */
const PUSHING = `trap '' TERM
git clone -q git-gate:far clone && cd clone || exit 1
for i in $(seq 1000); do
  git commit -q --allow-empty -m $i
  git push -q origin HEAD:refs/heads/agent/n$i 2>/dev/null && echo "pushed n$i" || { echo "refused n$i"; sleep 600; }
done`;

it("I8: lets no further push out once its log cannot be written, in a bottle that pushes on and on", async () => {
  const far = gated.bare("far");
  const repos = { far: { ...gated.overSsh(far), refs: ["refs/heads/agent/*"] } };
  gated.cli.agent("dev", ["sh", "-c", PUSHING], { bottle: { "git-gate": { repos } } });
  const command = gated.cli.begin(["start", "dev", "-p", "push"]);
  await eventually("a push", () => (command.stdout().includes("pushed n2") ? true : undefined));
  const [id = ""] = gated.cli.kept();
  const log = join(gated.cli.home, "audit", `${id}.jsonl`);
  renameSync(log, gated.cli.path("moved"));
  const { stdout } = await command.ended;
  renameSync(gated.cli.path("moved"), log);

  const own = "refs/heads/agent";
  const has = execFileSync(
    "git",
    ["--git-dir", far, "for-each-ref", "--format=%(refname) %(objectname)", own],
    {
      encoding: "utf8",
    },
  )
    .trim()
    .split("\n");
  const forwarded = gated.cli
    .log(id)
    .filter(({ event }) => event === "git.forwarding")
    .flatMap(({ data }) => data["updates"] as { ref: string; new: string }[])
    .map((update) => `${update.ref} ${update.new}`);
  expect(has.length).toBeGreaterThanOrEqual(2);
  expect(has.filter((ref) => !forwarded.includes(ref))).toEqual([]);
  // And nobody was told of one that went well and did not.
  for (const [, branch] of stdout.matchAll(/pushed (n\d+)/g)) {
    expect(
      has.some((ref) => ref.startsWith(`${own}/${branch} `)),
      branch,
    ).toBe(true);
  }
});
