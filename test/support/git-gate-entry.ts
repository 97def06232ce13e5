/** What the command line does for `bottle sidecar git-gate`. */
import { runGitGate } from "../../src/sidecars/git-gate/main.ts";

await runGitGate();
