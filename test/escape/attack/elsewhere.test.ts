/** What takes minutes and differs least is attacked in a soak: `npm run soak -- attack`. */
import { describeAttack } from "../../support/attacked.ts";
import { GVISOR, MACHINES, PODMAN } from "../../support/attacked-backends.ts";

const isSoak = process.env["SOAK"] !== undefined;

for (const tried of [MACHINES, GVISOR, PODMAN])
  describeAttack(isSoak ? tried : { ...tried, lack: tried.lack ?? "minutes: npm run soak -- attack" });
