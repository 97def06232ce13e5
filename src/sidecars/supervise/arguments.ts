/** What a call takes. Every text is bounded here; what it means is judged where an ask is made of it. */
import * as z from "zod";
import { ASK_LIMITS, ticketSchema } from "../../contract/approvals.ts";

/** Longer than anything a denial names, so that such a call is judged and not misread. */
const text = z.string().max(1_024);
/** More than can be asked for at once, which is then said in words. */
const MOST_SUBJECTS = 100;
const list = z.array(text).max(ASK_LIMITS.items);
const justification = z
  .string()
  .max(ASK_LIMITS.justification)
  .optional()
  .describe("Why the task needs it, for the operator: a sentence or two.");

export const ticketShape = z.strictObject({
  ticket: ticketSchema.describe("The ticket that the request was given."),
});

export const accessShape = z.strictObject({
  host: text.optional().describe("A host to reach over HTTP(S): api.example.com."),
  methods: z.array(text).max(ASK_LIMITS.methods).optional().describe("Only these methods. Default any."),
  paths: list.optional().describe("Only these paths: /v1/items alone, /v1/* and all below. Default any."),
  method: text.optional().describe("One method, as in a denial."),
  path: text.optional().describe("One path exactly, as in a denial."),
  repository: text.optional().describe("Instead of a host: a repository behind git-gate, by its name."),
  refs: list.optional().describe("Its refs to push to: refs/heads/main; one * stands for anything."),
  force: z.boolean().optional().describe("Also to what does not descend from it."),
  delete: z.boolean().optional().describe("Also to delete them."),
  variables: list.optional().describe("Or what your environment lacks: names of variables."),
  files: list.optional().describe("Files or folders, by the absolute path where you want them."),
  programs: list.optional().describe("Programs or packages, by name: cargo, python3-numpy."),
  justification,
});

export const exceptionShape = z.strictObject({
  finding: text.optional().describe("Of a denial of egress: the finding's id."),
  detector: text.optional().describe("Of a denial of egress: what found it."),
  host: text.optional().describe("Of a denial of egress: where it would go."),
  repo: text.optional().describe("Of a denial of git-gate: the repository."),
  code: text.optional().describe("Of a denial of git-gate: its code."),
  subjects: z.array(text).max(MOST_SUBJECTS).optional().describe("Of a denial of git-gate: what it named."),
  justification,
});

export const denialShape = z.object({
  code: text.describe("The denial's code, such as host-not-allowed."),
  target: z.string().max(4_096).optional().describe("What was refused, as the denial says it."),
  ask: z
    .object({ tool: text, arguments: z.record(z.string().max(64), z.unknown()) })
    .optional()
    .describe("The denial's ready-made call."),
});
