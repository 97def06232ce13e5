/** A sidecar as the program that is shipped, configured and answered as a keeper does: what it does costs what it costs. */
import { type ChildProcess, spawn } from "node:child_process";
import { fromSidecarSchema } from "../src/contract/sidecar.ts";
import { readJsonLines, writeJsonLine } from "../src/lib/json-lines.ts";
import { packagePath } from "../src/lib/package-root.ts";

export interface BenchSidecar {
  readonly child: ChildProcess;
  /** Where it listens first. */
  readonly address: string;
  /** Ends with it. */
  readonly ended: Promise<void>;
}

/** @throws Error when it ends before it serves, or complains at any time before. */
export async function startSidecar(
  name: "egress" | "git-gate",
  config: unknown,
  env: Readonly<Record<string, string | undefined>> = {},
): Promise<BenchSidecar> {
  const child = spawn(process.execPath, [packagePath("dist/bottle.js"), "sidecar", name], {
    stdio: ["pipe", "pipe", "inherit"],
    env,
  });
  const { stdin, stdout } = child;
  stdin.on("error", () => {});
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await writeJsonLine(stdin, { type: "config", config });
  const address = await new Promise<string>((resolve, reject) => {
    void ended.then(() => reject(new Error(`${name} ended`)));
    void (async () => {
      for await (const line of readJsonLines(stdout)) {
        const message = fromSidecarSchema.parse(line);
        if (message.type === "ready") resolve(message.listening[0] ?? "");
        else if (message.type === "log") {
          process.stderr.write(`${name}: ${message.text}\n`);
          reject(new Error(message.text));
        } else if (message.type === "event" && message.receipt !== undefined) {
          // Nothing passes before it is told that this is on the log.
          await writeJsonLine(stdin, { type: "recorded", receipt: message.receipt });
        }
      }
    })().catch(reject);
  });
  return { child, address, ended };
}
