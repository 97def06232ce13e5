/** `bottle freeze` and `bottle thaw`: nothing leaves a bottle, at once, until it may again. */
import { connectKeeper } from "../../keeper/control-client.ts";
import { operatorName } from "../inbox/operator.ts";
import { reasonPart } from "../inbox/reason.ts";
import { tell } from "../output.ts";

export async function freeze(id: string, flags: { readonly reason?: string }): Promise<number> {
  const keeper = await connectKeeper(id);
  await keeper.ask({
    op: "freeze",
    by: operatorName(),
    ...reasonPart(flags.reason),
  });
  tell(`${id} is frozen: nothing leaves it; bottle thaw ${id} ends that`);
  return 0;
}

export async function thaw(id: string): Promise<number> {
  await (await connectKeeper(id)).ask({ op: "thaw", by: operatorName() });
  tell(`${id} may go on`);
  return 0;
}
