/** `bottle attack` of root's on a backend whose controls run on the host itself. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";
import { engineLack, startEngine, type TestEngine } from "../../support/docker-engine.ts";

/** A host's mounts, of which whatever is left is gone with it. */
const HOST = [
  ...["unshare", "--mount", "--propagation", "private", "sh", "-c"],
  'cat /proc/self/mountinfo >before; "$@"; code=$?; cat /proc/self/mountinfo | diff before - >&2; exit $code',
  "sh",
];

const lack = engineLack();
if (lack !== undefined) console.warn(`SKIPPED: the controls of an attack on docker: ${lack}`);

describe.skipIf(lack !== undefined)("the control of a probe that mounts", () => {
  let engine: TestEngine;
  let cli: BottleCli;
  beforeAll(async () => {
    engine = await startEngine();
    cli = createBottleCli();
  }, 600_000);
  afterAll(async () => {
    await cli.remove();
    await engine.close();
  });

  it("gets through, and leaves the host's mounts as they are", async () => {
    const env = { ...engine.env, BOT_BOTTLE_HOME: cli.home, BOT_BOTTLE_IMAGE_BASE: engine.base };
    const args = ["attack", "--backend", "docker", "--only", "kernel-mount", "--json"];
    const { code, stdout, stderr } = await cli.run(args, { env, wrapper: HOST });
    // What is gone is another engine's, whose folders were removed meanwhile.
    expect({ code, left: stderr.split("\n").filter((line) => line.startsWith(">")) }, stderr).toEqual({
      code: 0,
      left: [],
    });
    expect(JSON.parse(stdout)).toMatchObject({
      reports: [{ results: [{ id: "kernel-mount", held: true }] }],
    });
  }, 300_000);
});
