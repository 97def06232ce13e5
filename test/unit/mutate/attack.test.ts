import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { PROBES } from "../../../src/attack/probes/all.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { BREACHES } from "../../mutate/attack.ts";
import { UNBROKEN } from "../../mutate/breaches/unbroken.ts";

const breaches = BREACHES.flatMap((group) => group.breaches);

describe("a breach", () => {
  it.each(breaches.map((breach) => [breach.name, breach] as const))(
    "can be made: %s",
    (_name, { changes, probes }) => {
      for (const { file, find, replace } of changes) {
        expect(readFileSync(packagePath(file), "utf8").split(find).length, `${file}: ${find}`).toBe(2);
        expect(replace).not.toBe(find);
      }
      expect(probes.length).toBeGreaterThan(0);
      for (const id of probes) expect(PROBES.map((probe) => probe.id)).toContain(id);
    },
  );
});

it("every probe is one that a breach makes fail, or that is said why none does", () => {
  // Where the bottles do not even start, no probe is run.
  const noticed = new Set(
    BREACHES.flatMap(({ startFails, breaches }) => (startFails === undefined ? breaches : [])).flatMap(
      ({ probes }) => probes,
    ),
  );
  const named = [...noticed, ...Object.keys(UNBROKEN)].sort();
  expect(named).toEqual(PROBES.map(({ id }) => id).sort());
  for (const reason of Object.values(UNBROKEN)) expect(reason).toMatch(/\S \S/);
});
