/**
 * A random day on each backend: starts, resumes, forks, crashes and cleanups in an order that a printed seed brings back;
 * afterwards the host is as it was. A short one on two of them here; `npm run soak -- day` spends 200 steps on each.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BackendHost, HOSTS } from "../../support/backend-hosts.ts";
import { spendDay } from "../../support/day.ts";
import { wholeOf } from "../../support/faults.ts";
import { dice, drawn } from "../../support/random.ts";

const isWhole = process.env["SOAK"] !== undefined;
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const WHOLE_STEPS = 200;
const TIMEOUT_MS = isWhole ? 3 * 3_600_000 : 10 * 60_000;

describe.each(drawn("backends that spend a day", HOSTS, 2))(
  "a day of $backend bottles",
  ({ backend, lack, start, daySteps }) => {
    if (lack !== undefined) {
      console.warn(`SKIPPED: a day of ${backend} bottles: ${lack}`);
      it.skip(`leaves the host as it was (${lack})`);
      return;
    }
    let host: BackendHost;
    beforeAll(async () => {
      host = await start();
    }, 300_000);
    afterAll(() => host?.close(), 60_000);

    it(
      "leaves the host as it was",
      async () => {
        // Caches are filled, and stay.
        expect(await host.cli.run(["start", "day", "-p", "true"])).toMatchObject({ code: 0 });
        const before = await wholeOf(host);
        const { done, problems, left } = await spendDay(
          host,
          before,
          isWhole ? WHOLE_STEPS : daySteps,
          dice(seed),
        );
        console.log(`${backend}: ${done.length} steps; SEED=${seed}`);
        expect([...problems, ...left].join("\n"), `SEED=${seed}\n${done.join("\n")}`).toBe("");
      },
      TIMEOUT_MS,
    );
  },
);
