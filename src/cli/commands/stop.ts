/** `bottle stop`: end running bottles, and wait until nothing of them runs. */
import { connectKeeper } from "../../keeper/control-client.ts";
import { print, report } from "../output.ts";

export async function stop(ids: readonly string[]): Promise<number> {
  const codes = await Promise.all(
    ids.map(async (id) => {
      try {
        await (await connectKeeper(id)).ask({ op: "stop" });
        print(id);
        return 0;
      } catch (error) {
        return report(error);
      }
    }),
  );
  return Math.max(...codes);
}
