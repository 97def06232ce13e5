/** A command's round trip into a running bottle, and what an idle bottle costs. */
import { readdirSync, readFileSync } from "node:fs";
import { connectKeeper } from "../src/keeper/control-client.ts";
import { makeBenchHome, pss } from "./bottle.ts";
import { type BenchRow, row } from "./row.ts";

const RUNS = 200;

export async function benchExec(): Promise<readonly BenchRow[]> {
  const home = makeBenchHome(["sleep", "600"]);
  Object.assign(process.env, home.env);
  const id = home.bottleSync("start", "bench", "--yes", "--detach").trim();
  try {
    const keeper = await connectKeeper(id);
    const samples: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      const from = performance.now();
      const session = await keeper.session({ op: "exec", argv: ["true"] });
      const exit = await session.exit;
      session.close();
      if (exit.kind !== "exited" || exit.code !== 0)
        throw new Error(`exec ended with ${JSON.stringify(exit)}`);
      samples.push(performance.now() - from);
    }
    const command: number[] = [];
    for (let i = 0; i < 10; i++) {
      const from = performance.now();
      home.bottleSync("exec", "-T", id, "--", "true");
      command.push(performance.now() - from);
    }
    const status = await keeper.status();
    const memory = [
      { name: "keeper", pid: status.keeperPid, goal: 45 },
      ...status.sidecars.map(({ name, pid }) => ({ name, pid, goal: 60 })),
    ];
    return [
      row("exec round trip at the keeper", "ms", samples, "goal 15"),
      row("bottle exec, the whole command", "ms", command),
      ...memory.map(({ name, pid, goal }) => row(`idle ${name}`, "MB PSS", [pss(pid)], `goal ${goal}`)),
      row("idle guest init", "MB PSS", [Math.max(0, ...guestInits().map(pss))]),
    ];
  } finally {
    home.bottleSync("stop", id);
    home.bottleSync("rm", "--force", id);
    home.remove();
  }
}

function guestInits(): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const [program = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return program.endsWith("node") && args.some((arg) => arg.endsWith("guest-init.mjs"));
      } catch {
        // It ended while we looked.
        return false;
      }
    })
    .map(Number);
}
