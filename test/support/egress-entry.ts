/** What the command line does for `bottle sidecar egress`. */
import { runEgress } from "../../src/sidecars/egress/main.ts";

await runEgress();
