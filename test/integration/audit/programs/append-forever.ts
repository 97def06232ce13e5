/** Opens the log of argv[3] in the home argv[2] and appends until it is killed; prints each number once it is on the disk. */
import { openLog } from "../../../../src/audit/log.ts";
import { homeOf } from "../../../../src/lib/paths.ts";

const home = homeOf({ BOT_BOTTLE_HOME: process.argv[2] });
try {
  const log = await openLog({ home, bottle: process.argv[3] ?? "" });
  console.log(`key ${String((await log.append("test.begun", {})).seq)}`);
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (;;) console.log((await log.append("test.happened", { text: "x".repeat(500) })).seq);
    }),
  );
} catch (error) {
  console.log(`refused ${String(error)}`);
}
