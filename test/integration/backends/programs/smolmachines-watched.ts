/** Has a machine watched over that is stopped by making a file, says so, and lives until it is killed. */
import { watchOver } from "../../../../src/backends/smolmachines/room.ts";
import { createScope } from "../../../../src/lib/scope.ts";

const [, , stopped = ""] = process.argv;
await watchOver(["touch", stopped], { PATH: process.env["PATH"] ?? "" }, createScope());
process.stdout.write("watched\n");
setInterval(() => {}, 1_000);
