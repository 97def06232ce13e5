/** `bottle attack` at Ctrl-C. */
import { afterAll, expect, it } from "vitest";
import { createBottleCli, eventually } from "../../support/bottle-cli.ts";

const cli = createBottleCli();
afterAll(() => cli.remove());

it("says that it was interrupted, exits as a shell's commands do, and leaves nothing", async () => {
  const attack = cli.begin(["attack", "--backend", "namespace", "--only", "kernel-mount"]);
  await eventually("two bottles", () => attack.stderr().includes("starting two bottles") || undefined);
  attack.child.kill("SIGINT");
  const { code, stderr } = await attack.ended;
  expect(stderr).toMatch(/interrupted: ending what was begun\nerror: interrupted\n$/);
  expect(code).toBe(130);
  await cli.expectNothingLeft();
});
