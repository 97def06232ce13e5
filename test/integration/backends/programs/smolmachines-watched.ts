/** Has a machine watched over, in a room or without one, by what is given; says how to get there, and lives until it is killed. */
import type { MachinePlace } from "../../../../src/backends/smolmachines/machine-processes.ts";
import { openRoom, watchOver } from "../../../../src/backends/smolmachines/room.ts";
import { createScope } from "../../../../src/lib/scope.ts";

export interface WatchedInput {
  readonly place: MachinePlace;
  readonly stop: readonly string[];
  readonly room: boolean;
}

const [, , input = ""] = process.argv;
const { place, stop, room } = JSON.parse(input) as WatchedInput;
const env = { PATH: process.env["PATH"] ?? "" };
const enter = room
  ? (await openRoom(place, stop, env, createScope())).enter
  : await watchOver(place, stop, env, createScope()).then(() => []);
process.stdout.write(`${JSON.stringify(enter)}\n`);
setInterval(() => {}, 1_000);
