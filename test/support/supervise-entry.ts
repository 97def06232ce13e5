/** What the command line does for `bottle sidecar supervise`. */
import { runSupervise } from "../../src/sidecars/supervise/main.ts";

await runSupervise();
