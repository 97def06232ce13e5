/** What sidecars report of what was given, put on the record before they go on with it. */
import * as z from "zod";
import type { SidecarNotice } from "../bundle/bundle.ts";
import type { BottlePlan } from "../contract/plan.ts";
import type { Inbox } from "./inbox.ts";

/** Less than nothing would give back what was used: a sidecar that was taken over could so widen another's grants. */
const amount = z.number().int().min(0).optional();
const used = z.looseObject({
  grant: z.string().optional(),
  grants: z.array(z.string()).optional(),
  up: amount,
  down: amount,
  count: amount,
});

/** Events that make use of a grant, and how much of it. */
const USES: Readonly<Record<string, (data: z.infer<typeof used>) => { uses: number; bytes: number }>> = {
  "egress.admitted": () => ({ uses: 1, bytes: 0 }),
  "egress.excepted": ({ count = 1 }) => ({ uses: count, bytes: 0 }),
  "egress.allowed": ({ up = 0, down = 0 }) => ({ uses: 0, bytes: up + down }),
  "git.forwarding": () => ({ uses: 1, bytes: 0 }),
};

const found = z.looseObject({ findings: z.array(z.looseObject({ kind: z.string() })) });

function isCanary(event: string, data: unknown): boolean {
  if (event === "egress.denied") return (data as { code?: unknown }).code === "canary-found";
  if (event !== "git.refused") return false;
  const parsed = found.safeParse(data);
  return parsed.success && parsed.data.findings.some(({ kind }) => kind === "canary");
}

export async function countUses(notice: SidecarNotice, inbox: Inbox, plan: BottlePlan): Promise<void> {
  if (notice.kind !== "message" || notice.message.type !== "event") return;
  const { event, data } = notice.message;
  if (plan.supervise?.freezeOnCanary && isCanary(event, data))
    await inbox.freeze("keeper", "the bottle's decoy credential was on its way out");
  const uses = USES[event];
  const parsed = used.safeParse(data);
  if (uses === undefined || !parsed.success) return;
  const { grant, grants = [] } = parsed.data;
  for (const ticket of grant === undefined ? grants : [grant, ...grants])
    await inbox.used({ ticket, ...uses(parsed.data) });
}
