/** `supervise`: whether and how the agent may ask for more. */
import * as z from "zod";
import type { PlannedSupervise } from "../contract/plan.ts";
import { accept, type Parsed, parsedText, reject } from "../lib/parsed.ts";
import { line } from "./scalars.ts";

/** A person is not at the screen all day; an agent should not wait for one all day. */
const DEFAULT_PATIENCE_MS = 15 * 60_000;
const SHORTEST_MS = 5_000;
const LONGEST_MS = 24 * 60 * 60_000;
const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

/** `90s`, `15m`, `2h`: milliseconds. */
const patience = parsedText((text): Parsed<number> => {
  const [, amount = "", unit = ""] = /^([0-9]{1,6})([smh])$/.exec(text) ?? [];
  const milliseconds = Number(amount) * (UNITS[unit] ?? 0);
  if (milliseconds >= SHORTEST_MS && milliseconds <= LONGEST_MS) return accept(milliseconds);
  return reject("must be a time from 5s to 24h, such as 90s, 15m or 2h");
});

const settings = z.strictObject({
  deadline: patience
    .exactOptional()
    .describe("How long a request waits for an answer, such as 15m (default); then the answer is no."),
  notify: z
    .tuple([line], line)
    .exactOptional()
    .describe(
      "A command, started for every request, with what happened as JSON on its stdin. No shell reads it.",
    ),
  freeze_on_canary: z
    .boolean()
    .exactOptional()
    .describe("Whether the bottle freezes when its decoy credential is on the way out. Default: false."),
});

export const supervise = z.union([z.boolean(), settings]).transform((value): PlannedSupervise | undefined => {
  if (value === false) return undefined;
  const { deadline, notify, freeze_on_canary } = value === true ? {} : value;
  return {
    patienceMs: deadline ?? DEFAULT_PATIENCE_MS,
    ...(notify !== undefined && { notify }),
    freezeOnCanary: freeze_on_canary ?? false,
  };
});
