/** What a resumed bottle has of what was given to its earlier life. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openLog } from "../../../src/audit/log.ts";
import type { BottlePlan } from "../../../src/contract/plan.ts";
import type { Route } from "../../../src/contract/policy.ts";
import type { Inbox } from "../../../src/keeper/inbox.ts";
import { openInbox } from "../../../src/keeper/open-inbox.ts";
import { homeOf } from "../../../src/lib/paths.ts";
import { createScope } from "../../../src/lib/scope.ts";
import { route } from "../../support/inbox.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bb-inbox-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** One life of the bottle, by a manifest with these routes. */
async function life(routes: readonly Route[], resumed: boolean, live: (inbox: Inbox) => Promise<void>) {
  const scope = createScope();
  const log = await openLog({ home: homeOf({ BOT_BOTTLE_HOME: folder }), bottle: "b-00000" });
  scope.defer("log", () => log.close());
  const nothing = async (): Promise<void> => {};
  try {
    const plan = { routes } as unknown as BottlePlan;
    const parts = { id: "b-00000", plan, log, resumed, secrets: [] };
    await live(
      await openInbox({ ...parts, tellAgent: nothing, apply: nothing, lack: () => undefined }, scope),
    );
  } finally {
    await scope.close();
  }
}

const HOST = "api.example.test";
const TOKEN = { header: "authorization", format: "Bearer {}", tokenRef: "API_TOKEN" };
const READS = { matches: [{ methods: ["GET"] }] };

async function give(inbox: Inbox): Promise<void> {
  await inbox.ask({
    kind: "request",
    ask: { kind: "host", host: HOST, methods: ["POST"], paths: [] },
    justification: "",
  });
  const [waiting] = inbox.view().pending;
  if (waiting?.kind !== "request") throw new Error("it does not wait");
  expect(waiting.described).toEqual([`POST ${HOST}, any path`]);
  const { ticket, digest } = waiting;
  await inbox.approve({ op: "approve", token: "", ticket, digest, by: "ann", lifetime: { kind: "session" } });
}

describe("what was given to an earlier life", () => {
  it("is there in the next, by the same manifest or one that gives as much", async () => {
    await life([], false, give);
    for (const routes of [[], [route("other.example.test", { auth: TOKEN })], [route(HOST, { auth: TOKEN })]])
      await life(routes, true, async (inbox) => expect(inbox.view().grants).toHaveLength(1));
  });

  it("I6: is over where the manifest of now would make more of it than was shown", async () => {
    await life([], false, give);
    const routes = [route(HOST, { ...READS, auth: TOKEN })];
    await life(routes, true, async (inbox) => {
      expect(inbox.state.live.routes).toEqual(routes);
      expect(inbox.requests()).toMatchObject([
        { grant: { status: "revoked", reason: expect.stringMatching(/not shown/) } },
      ]);
    });
    // For good, and on the log.
    await life([], true, async (inbox) => expect(inbox.view().grants).toEqual([]));
  });
});
