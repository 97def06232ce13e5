/** Argument: what to look for, as JSON. Says what it found, as a line of JSON. */
import { type LookedFor, lookFor } from "../guest-look.ts";

process.stdout.write(`${JSON.stringify(lookFor(JSON.parse(process.argv[2] ?? "{}") as LookedFor))}\n`);
