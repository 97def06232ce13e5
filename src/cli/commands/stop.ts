/** `bottle stop`: end running bottles, and wait until nothing of them runs. */
import { connectKeeper } from "../../keeper/control-client.ts";
import type { ControlReply } from "../../keeper/control-protocol.ts";
import { print, report, warn } from "../output.ts";

export async function stop(ids: readonly string[]): Promise<number> {
  const codes = await Promise.all(
    ids.map(async (id) => {
      try {
        tellProblems(await (await connectKeeper(id)).ask({ op: "stop" }));
        print(id);
        return 0;
      } catch (error) {
        return report(error);
      }
    }),
  );
  return Math.max(...codes);
}

/** What could not be undone, which nobody else is told when nobody watched the agent. */
export function tellProblems(reply: ControlReply): void {
  if (!("settled" in reply)) return;
  for (const problem of reply.settled.problems) warn(problem);
}
