/** The git-gate program; lib/sidecar-program.ts is its frame. */
import { gitGateConfigSchema } from "../../contract/git-gate.ts";
import { runSidecar } from "../../lib/sidecar-program.ts";
import { startGate } from "./gate.ts";

export function runGitGate(): Promise<void> {
  return runSidecar({
    name: "git-gate",
    config: gitGateConfigSchema,
    roles: ({ listen }) => (listen.kind === "inherited" ? ["main"] : []),
    start(config, { emit, record, listeners, fail }) {
      const listener = listeners.get("main");
      return startGate(config, { emit, record, onLost: fail, ...(listener && { listener }) });
    },
  });
}
