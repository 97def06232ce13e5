/**
 * A keeper that will be killed: starts a bottle as far as it is told to, with processes in it that do not want to end,
 * says so, and waits. With `holder`, another process holds the link's listener.
 */
import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { namespaceBackend } from "../../../../src/backends/namespace/backend.ts";
import type { InheritedListener, InheritedListeners } from "../../../../src/contract/backend.ts";
import { createScope } from "../../../../src/lib/scope.ts";
import { bytesOf, planFor } from "../../../support/bottle-guest.ts";
import { probeInside } from "../../../support/probing.ts";

export type KeeperStage = "reserved" | "entering" | "running" | "holder";
export interface KeeperWord {
  readonly id: string;
  /** What a guest's connection to its link heard, before and after the holder was killed. */
  readonly link?: readonly string[];
}

const [stage = "", folder = ""] = process.argv.slice(2);
const id = `t-${randomBytes(3).toString("hex")}`;
const [stateDir, runtimeDir] = [join(folder, "state"), join(folder, "run")];
mkdirSync(stateDir, { mode: 0o700 });
mkdirSync(runtimeDir, { mode: 0o700 });
const plan = planFor(namespaceBackend);
const scope = createScope();
const prepared = await namespaceBackend.prepare({ plan, tools: [] }, () => {});
const request = { id, plan, stateDir, runtimeDir, services: ["egress"] as const };
const link = await namespaceBackend.reserve(prepared, request, scope);
let heard: readonly string[] | undefined;
switch (stage as KeeperStage) {
  case "reserved":
    break;
  case "entering":
    // Its set-up goes on while we are killed.
    namespaceBackend.boot(prepared, link, { plan, env: {} }, scope).catch(() => {});
    break;
  case "running": {
    const guest = await namespaceBackend.boot(prepared, link, { plan, env: {} }, scope);
    const stubborn =
      "(setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 604; done' >/dev/null 2>&1 &); echo up; exec sleep 604";
    const execution = await guest.exec(["sh", "-c", stubborn]);
    await new Promise((resolve) => execution.stdout.once("data", resolve));
    await guest.exec(["sleep", "604"], { tty: { cols: 80, rows: 24 } });
    break;
  }
  case "holder": {
    const guest = await namespaceBackend.boot(prepared, link, { plan, env: {} }, scope);
    const listen = link.endpoints.egress?.listen;
    if (listen?.kind !== "inherited") throw new Error("the link has no listener of its own");
    const results: string[] = [];
    for (let life = 0; life < 2; life++) {
      const holder = fork(new URL("./holder.mjs", import.meta.url), { execArgv: [] });
      const { main, others } = split(await listen.open());
      for (const other of others) other.close();
      await hand(holder, main);
      const dial = async (): Promise<void> => {
        results.push(...(await probeInside(guest, [{ kind: "tcp", host: "127.0.0.1", port: 9099 }])));
      };
      await dial();
      holder.kill("SIGKILL");
      await new Promise((resolve) => holder.once("exit", resolve));
      await dial();
    }
    heard = results;
    await bytesOf((await guest.exec(["true"])).stdout);
    break;
  }
}
process.stdout.write(`${JSON.stringify({ id, ...(heard && { link: heard }) } satisfies KeeperWord)}\n`);
setInterval(() => {}, 60_000);

function split(listeners: InheritedListeners): { main: InheritedListener; others: InheritedListener[] } {
  const main = listeners.get("main");
  if (main === undefined) throw new Error("no listener for the proxy");
  return { main, others: [...listeners.values()].filter((listener) => listener !== main) };
}

async function hand(holder: ChildProcess, server: InheritedListener): Promise<void> {
  await new Promise<void>((resolve) => {
    holder.once("message", () => resolve());
    holder.send("serve", server, {}, () => server.close());
  });
}
