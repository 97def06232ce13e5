/** The supervise program. It is started by its first client, who waits for it; lib/sidecar-program.ts is its frame. */
import { superviseConfigSchema } from "../../contract/approvals.ts";
import { runSidecar } from "../../lib/sidecar-program.ts";
import { startSupervise } from "./supervise.ts";

export function runSupervise(): Promise<void> {
  return runSidecar({
    name: "supervise",
    config: superviseConfigSchema,
    roles: ({ listen }) => (listen.kind === "inherited" ? ["main"] : []),
    letsWait: true,
    start(config, { emit, listeners }) {
      const listener = listeners.get("main");
      return startSupervise(config, { emit, ...(listener && { listener }) });
    },
  });
}
