import { describe, expect, it } from "vitest";
import { DETECTORS } from "../../../../src/inspect/detectors/index.ts";
import { inspected } from "../../../support/inspected.ts";
import { SECRET_EXAMPLES } from "../../../support/secret-examples/index.ts";

/** Texts that any secret may stand in. */
const CARRIERS: readonly ((secret: string) => string)[] = [
  (secret) => secret,
  (secret) => `# a comment\nexport KEY=${secret}\nexport OTHER=1\n`,
  (secret) => `{"key": "${secret}", "other": 1}`,
  (secret) => `curl -H 'Authorization: Bearer ${secret}' https://api.example.org/`,
];

describe("the list of detectors", () => {
  it("has an example for each detector, and a detector for each example", () => {
    expect(DETECTORS.map(({ id }) => id).sort()).toEqual(Object.keys(SECRET_EXAMPLES).sort());
  });
});

describe.each(DETECTORS)("$id", (detector) => {
  const example = SECRET_EXAMPLES[detector.id];

  it("finds what its provider documents, whole, wherever it stands", () => {
    expect(example?.secrets.length).toBeGreaterThan(0);
    for (const secret of example?.secrets ?? []) {
      for (const carry of example?.carriers ?? CARRIERS) {
        const text = carry(secret);
        const found = inspected(text).filter(({ detector: id }) => id === detector.id);
        expect(found.length, text).toBeGreaterThan(0);
        if (text.includes(secret)) expect(coversTheSecret(secret, found[0]!.covered), text).toBe(true);
      }
    }
  });

  it("leaves near misses, placeholders and published examples alone", () => {
    expect(example?.nearMisses.length).toBeGreaterThan(0);
    for (const text of example?.nearMisses ?? []) {
      const found = inspected(text).filter(({ detector: id }) => id === detector.id);
      expect(found, text).toEqual([]);
    }
  });
});

/** Groups whose secrets are told by a checksum or their structure, not by how random they look. */
const STRUCTURED: readonly string[] = ["private-key", "token", "connection", "card", "bank", "wallet"];

describe.each(DETECTORS.filter(({ group }) => !STRUCTURED.includes(group)))("$id", (detector) => {
  it.each(["a", "A", "0", "x"])("leaves a secret alone whose greater part is a run of %s", (filler) => {
    const { secrets = [], carriers = CARRIERS } = SECRET_EXAMPLES[detector.id] ?? {};
    for (const secret of secrets) {
      const kept = Math.floor(secret.length * 0.4);
      const blanked = secret.slice(0, kept) + secret.slice(kept).replace(/[A-Za-z0-9]/g, filler);
      const text = carriers[0]?.(blanked) ?? blanked;
      expect(
        inspected(text).filter(({ detector: id }) => id === detector.id),
        text,
      ).toEqual([]);
    }
  });
});

/** Nothing of a secret may stay behind: of a PEM file, everything between the armour lines. */
function coversTheSecret(secret: string, found: string): boolean {
  const armoured = /^-{4,5} ?BEGIN/.test(secret);
  return armoured
    ? secret.includes(found.trim()) && found.length > secret.length / 2
    : found.startsWith(secret);
}
