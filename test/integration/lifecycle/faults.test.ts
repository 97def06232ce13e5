/**
 * I9, step by step: at each thing that a bottle acquires or gives back, on each backend, the keeper, the command that asked,
 * a sidecar, the guest or the engine is killed, or the call fails; afterwards `bottle cleanup` makes the host as it was.
 *
 * Here a few steps on two backends meet one fault each, drawn by a seed that is printed; with SOAK=1 each meets all of them, or those that
 * FAULTS names (`keeper,guest`), and of the steps those of some parts where SLICE says so (`2/5`, `1,3/5`).
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BackendHost, CONTAINED, HOSTS } from "../../support/backend-hosts.ts";
import { isRoot } from "../../support/bottle-cli.ts";
import { FAULTS, stepsOf, strike, wholeOf } from "../../support/faults.ts";
import { drawn, random, shuffled } from "../../support/random.ts";
import { buildSteppedPackage, type SteppedPackage } from "../../support/stepped-package.ts";

const isWhole = process.env["SOAK"] !== undefined;
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const TIMEOUT_MS = isWhole ? 3 * 3_600_000 : 15 * 60_000;

let built: SteppedPackage;
beforeAll(async () => {
  if (isRoot) built = await buildSteppedPackage();
}, 120_000);
afterAll(() => built?.remove());

const named = (process.env["FAULTS"] ?? FAULTS.join(",")).split(",");
const [numbers = "", parts = ""] = (process.env["SLICE"] ?? "1/1").split("/");
const slices = numbers.split(",").map((slice) => Number(slice) - 1);
const tries = [...drawn("backends that meet faults", HOSTS, 2), ...(isWhole ? [CONTAINED] : [])].map(
  (each) => ({
    ...each,
    on: [each.backend, each.variant].filter((word) => word !== undefined).join(" "),
  }),
);

describe.each(tries)("a bottle on $on in whose life something goes wrong", (tried) => {
  if (tried.lack !== undefined) {
    console.warn(`SKIPPED: faults on ${tried.on}: ${tried.lack}`);
    it.skip(`leaves nothing that cleanup does not remove (${tried.lack})`);
    return;
  }
  let host: BackendHost;
  beforeAll(async () => {
    host = await tried.start(built.program);
  }, 300_000);
  afterAll(() => host?.close(), 60_000);

  it(
    "leaves nothing that cleanup does not remove, at whichever step it is",
    async () => {
      const next = random(seed);
      const steps = await stepsOf(host);
      expect(steps.length).toBeGreaterThan(20);
      const before = await wholeOf(host);
      const chosen = isWhole
        ? steps.filter((_step, i) => slices.includes(i % Number(parts)))
        : shuffled(steps, next);
      const found: string[] = [];
      const counts = { struck: 0, missed: 0 };
      for (const step of chosen) {
        let faults = isWhole
          ? tried.faults.filter((fault) => named.includes(fault))
          : shuffled(tried.faults, next);
        while (faults.length > 0 && (isWhole || counts.struck < tried.strikes)) {
          const { struck, afterCleanup, left, problems } = await strike(host, { step, faults }, before);
          // Before the one that is struck, those of whom nobody was there.
          const met = struck === undefined ? faults.length : faults.indexOf(struck) + 1;
          counts.struck += struck === undefined ? 0 : 1;
          counts.missed += struck === undefined ? met : met - 1;
          faults = isWhole ? faults.slice(met) : [];
          const wrong = [
            ...problems,
            ...afterCleanup.map((line) => `after cleanup: ${line}`),
            ...left.map((line) => `for good: ${line}`),
          ];
          if (isWhole) console.log(`${struck ?? "nobody"} at ${step}`);
          if (wrong.length === 0) continue;
          found.push(`${struck ?? "nobody"} at ${step}:\n    ${wrong.join("\n    ")}`);
          console.log(found.at(-1));
        }
      }
      console.log(
        `${tried.on}: ${steps.length} steps, ${counts.struck} faults, ${counts.missed} with nobody to meet; SEED=${seed}`,
      );
      expect(found.join("\n"), `SEED=${seed}`).toBe("");
      const all = counts.struck + counts.missed;
      expect(counts.struck).toBeGreaterThanOrEqual(isWhole ? all / 2 : tried.strikes);
    },
    TIMEOUT_MS,
  );
});
