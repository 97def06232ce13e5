#!/usr/bin/env node
/** The `bottle` command. Programs of ours that it also is (a sidecar, a keeper) skip the command line. */

const [first, second] = process.argv.slice(2);

if (first === "sidecar" && second === "egress") {
  const { runEgress } = await import("../sidecars/egress/main.ts");
  await runEgress();
} else if (first === "sidecar" && second === "git-gate") {
  const { runGitGate } = await import("../sidecars/git-gate/main.ts");
  await runGitGate();
} else if (first === "sidecar" && second === "supervise") {
  const { runSupervise } = await import("../sidecars/supervise/main.ts");
  await runSupervise();
} else if (first === "sidecar" && second === "pipelock") {
  const { runPipelockSidecar } = await import("../sidecars/pipelock/main.ts");
  await runPipelockSidecar();
} else if (first === "attack-world") {
  const { runWorld } = await import("../attack/world-process.ts");
  await runWorld();
} else if (first === "keeper") {
  const { runKeeper } = await import("../keeper/keeper.ts");
  await runKeeper();
  // Whatever of a settled bottle still holds the loop is not worth waiting for.
  process.exit();
} else {
  const { runProgram } = await import("./program.ts");
  process.exitCode = await runProgram(process.argv);
}
