/**
 * The process in which a run takes place, perhaps in an outer world: reads its order on stdin, tells on stdout. When its
 * stdin ends nobody waits any more, and everything is taken down.
 */
import * as z from "zod";
import { BACKEND_NAMES } from "../contract/isolation.ts";
import { messageOf } from "../lib/errors.ts";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { probesFor } from "./probes/all.ts";
import { runProbes } from "./runner.ts";
import { makeWorld } from "./world/world.ts";

const orderSchema = z.strictObject({
  backend: z.enum(BACKEND_NAMES),
  root: z.string(),
  outer: z.boolean(),
  hostRoot: z.boolean(),
  planted: z.array(z.string()),
  only: z.array(z.string()),
});
export type WorldOrder = z.infer<typeof orderSchema>;

export async function runWorld(): Promise<void> {
  const lines = readJsonLines(process.stdin);
  const order = orderSchema.parse((await lines.next()).value);
  const tell = (message: object): Promise<void> => writeJsonLine(process.stdout, message);
  let world: Awaited<ReturnType<typeof makeWorld>> | undefined;
  const givenUp = new AbortController();
  const giveUp = (): void => givenUp.abort(new Error("nobody waits for it any more"));
  void lines.next().then(giveUp, giveUp);
  try {
    world = await makeWorld(order, (progress) => void tell({ progress }));
    const has = await capabilitiesOf(order.backend, { outerNetwork: order.outer, hostRoot: order.hostRoot });
    await tell({ capabilities: has });
    const { probes } = probesFor(order.only);
    await runProbes(probes, world, has, (result) => void tell({ result }), givenUp.signal);
  } catch (error) {
    await tell({ failed: messageOf(error) });
  }
  try {
    await world?.close();
    await tell({ done: true });
  } catch (error) {
    await tell({ failed: `not all of it could be undone: ${messageOf(error)}` });
  }
  process.exit();
}
