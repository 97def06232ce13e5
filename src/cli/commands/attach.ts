/** `bottle attach`: join a running agent. */
import { connectKeeper } from "../../keeper/control-client.ts";
import { followAgent, onTerminal } from "../attach.ts";

export async function attach(id: string): Promise<number> {
  return followAgent(await connectKeeper(id), { start: false, tty: onTerminal() });
}
