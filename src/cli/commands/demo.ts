/** `bottle demo`: runs the demo, which is a program of its own: its stand-ins for real services are no part of ours. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { packagePath } from "../../lib/package-root.ts";

export async function demo(flags: { readonly json?: true; readonly backend?: string }): Promise<number> {
  const words = [
    ...(flags.json ? ["--json"] : []),
    ...(flags.backend === undefined ? [] : ["--backend", flags.backend]),
  ];
  const child = spawn(process.execPath, [packagePath("dist/demo.mjs"), ...words], {
    stdio: "inherit",
  });
  // The terminal sends Ctrl-C to both; the demo cleans up and says how it ended.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? "SIGKILL"]));
  });
}
