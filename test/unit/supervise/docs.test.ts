import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { MAX_PENDING } from "../../../src/approvals/decide.ts";
import { ASK_LIMITS, approvalEventSchemas } from "../../../src/contract/approvals.ts";
import { REFUSAL_STATUS } from "../../../src/sidecars/supervise/http/admission.ts";
import { CALLS, LIMITS } from "../../../src/sidecars/supervise/limits.ts";

const text = readFileSync(new URL("../../../docs/supervise.md", import.meta.url), "utf8");
const rows = (title: string): string[][] =>
  (text.split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? "")
    .split("\n")
    .filter((row) => row.startsWith("| ") && !row.startsWith("|--"))
    .map((row) => row.split("|").map((cell) => cell.trim()));
const namesIn = (cell = ""): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);

describe("docs/supervise.md", () => {
  it("names every refusal of the front's with its status, and no other", () => {
    const told = rows("Refusals").flatMap(([, names, status]) =>
      namesIn(names).map((name) => [name, Number(status)]),
    );
    expect(Object.fromEntries(told)).toEqual(REFUSAL_STATUS);
  });

  it("names every tool, and no other", () => {
    const told = rows("The tools").flatMap(([, names]) => namesIn(names));
    expect(told.sort()).toEqual(Object.keys(CALLS).sort());
  });

  it("names every event that requests and grants are made of", () => {
    for (const event of Object.keys(approvalEventSchemas)) expect(text).toContain(`\`${event}\``);
  });

  it("tells the bounds as they are", () => {
    const bounds = Object.fromEntries(rows("Bounds").map(([, what = "", much = ""]) => [what, much]));
    const { burst, perMinute } = CALLS.request_access;
    expect(bounds).toMatchObject({
      "requests waiting for the operator": String(MAX_PENDING),
      "calls of `request_access`, `request_exception`, `withdraw_request`": `${burst} at once, ${perMinute} a minute each`,
      "requests of any kind": `${LIMITS.burst} at once, ${LIMITS.perSecond} a second; then 429`,
      "a request's body; a justification": `${LIMITS.bodyBytes / 1024} KiB; 2,000 characters`,
      "methods; paths or refs; subjects in one request": `${ASK_LIMITS.methods}; ${ASK_LIMITS.items} of ${ASK_LIMITS.itemLength} characters; ${ASK_LIMITS.subjects}`,
      "calls that wait at once": `${LIMITS.waiting}; one more is answered at once with what is known`,
      "connections; requests in progress": `${LIMITS.connections}; ${LIMITS.exchanges}`,
    });
  });
});
