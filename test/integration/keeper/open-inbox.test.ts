/** What a resumed bottle has of what was given to its earlier life. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Lifetime } from "../../../src/approvals/decide.ts";
import { openLog } from "../../../src/audit/log.ts";
import type { Ask } from "../../../src/contract/approvals.ts";
import type { BottlePlan } from "../../../src/contract/plan.ts";
import type { PlannedRepo } from "../../../src/contract/repository.ts";
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

/** One life of the bottle, by a manifest of these. */
async function life(
  planned: Pick<BottlePlan, "routes" | "repos">,
  resumed: boolean,
  live: (inbox: Inbox) => Promise<void>,
) {
  const scope = createScope();
  const log = await openLog({ home: homeOf({ BOT_BOTTLE_HOME: folder }), bottle: "b-00000" });
  scope.defer("log", () => log.close());
  const nothing = async (): Promise<void> => {};
  try {
    const plan = planned as BottlePlan;
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

const repository = (path: string): PlannedRepo => ({
  ...{ name: "app", paths: { only: [], unprotect: [] }, limits: {}, review: false },
  upstream: {
    kind: "ssh",
    user: "git",
    host: "git.x.test",
    port: 22,
    path,
    key: { kind: "agent" },
    hostKeys: [],
  },
});
const NOTHING = { routes: [] };
const POSTS: Ask = { kind: "host", host: HOST, methods: ["POST"], paths: [] };

async function give(
  inbox: Inbox,
  ask: Ask,
  described: string,
  lifetime: Lifetime = { kind: "session" },
): Promise<void> {
  await inbox.ask({ kind: "request", ask, justification: "" });
  const [waiting] = inbox.view().pending;
  if (waiting?.kind !== "request") throw new Error("it does not wait");
  expect(waiting.described).toEqual([described]);
  const { ticket, digest } = waiting;
  await inbox.approve({ op: "approve", token: "", ticket, digest, by: "ann", lifetime });
}

describe("what was given to an earlier life", () => {
  it("is there in the next, by the same manifest or one that gives as much", async () => {
    await life(NOTHING, false, (inbox) => give(inbox, POSTS, `POST ${HOST}, any path`));
    for (const routes of [[], [route("other.example.test", { auth: TOKEN })], [route(HOST, { auth: TOKEN })]])
      await life({ routes }, true, async (inbox) => expect(inbox.view().grants).toHaveLength(1));
  });

  it("I6: is over where the manifest of now would make more of it than was shown", async () => {
    await life(NOTHING, false, (inbox) => give(inbox, POSTS, `POST ${HOST}, any path`));
    const routes = [route(HOST, { ...READS, auth: TOKEN })];
    await life({ routes }, true, async (inbox) => {
      expect(inbox.state.live.routes).toEqual(routes);
      expect(inbox.requests()).toMatchObject([
        { grant: { status: "revoked", reason: expect.stringMatching(/not shown/) } },
      ]);
    });
    // For good, and on the log.
    await life(NOTHING, true, async (inbox) => expect(inbox.view().grants).toEqual([]));
  });

  const PUSH: Ask = { kind: "repository", repo: "app", refs: ["refs/heads/x"], force: false, delete: false };
  const EXCEPTION: Ask = { kind: "git-exception", repo: "app", code: "path-protected", subjects: [".npmrc"] };
  it.each([
    [PUSH, "push to refs/heads/x in app at git@git.x.test:one/app.git"],
    [EXCEPTION, "path-protected passes at repository app at git@git.x.test:one/app.git: .npmrc"],
  ])("I6: is over where its repository's name leads elsewhere by now: %o", async (ask, described) => {
    const leadingTo = (path: string) => ({ ...NOTHING, repos: [repository(path)] });
    await life(leadingTo("one/app.git"), false, (inbox) => give(inbox, ask, described));
    await life(leadingTo("one/app.git"), true, async (inbox) =>
      expect(inbox.view().grants).toMatchObject([{ described: [described] }]),
    );
    await life(leadingTo("other/app.git"), true, async (inbox) => expect(inbox.view().grants).toEqual([]));
    await life(leadingTo("one/app.git"), true, async (inbox) => expect(inbox.view().grants).toEqual([]));
  });

  describe("by a host's clock that was once years ahead", () => {
    const [HOUR, NOW] = [3_600_000, Date.now()];
    const at = (moment: number): void => void vi.setSystemTime(moment);
    const giveAnHour = (inbox: Inbox): Promise<void> =>
      give(inbox, POSTS, `POST ${HOST}, any path`, { kind: "for", milliseconds: HOUR });
    const leftOf = (inbox: Inbox): number => {
      const { now, grants } = inbox.view();
      return (grants[0]?.expiresAt ?? 0) - now;
    };
    beforeEach(() => vi.useFakeTimers({ toFake: ["Date"], now: NOW + 30_000 * HOUR }));
    afterEach(() => vi.useRealTimers());

    it.each(["a life", "two lives"])(
      "is over after that was set back within %s: nobody knows how much is left",
      async (when) => {
        await life(NOTHING, false, async (inbox) => {
          await giveAnHour(inbox);
          if (when === "a life") at(NOW);
        });
        at(NOW);
        await life(NOTHING, true, async (inbox) =>
          expect(inbox.requests()).toMatchObject([
            { grant: { status: "expired", reason: expect.stringMatching(/set back/) } },
          ]),
        );
      },
    );

    it("regression: lasts no longer where nothing was written meanwhile: the next life's clock was years behind its end", async () => {
      at(NOW);
      await life(NOTHING, false, async (inbox) => {
        at(NOW + 30_000 * HOUR);
        inbox.view();
        at(NOW);
        await giveAnHour(inbox);
      });
      at(NOW + 0.75 * HOUR);
      await life(NOTHING, true, async (inbox) => expect(leftOf(inbox)).toBeLessThan(0.26 * HOUR));
    });

    it("regression: loses the time in which no keeper ran: it was given for as long as the clock had been ahead", async () => {
      await life(NOTHING, false, async () => {});
      at(NOW);
      await life(NOTHING, true, giveAnHour);
      at(NOW + 0.75 * HOUR);
      await life(NOTHING, true, async (inbox) => {
        expect(leftOf(inbox)).toBeGreaterThan(0);
        expect(leftOf(inbox)).toBeLessThan(0.26 * HOUR);
      });
      at(NOW + 1.1 * HOUR);
      await life(NOTHING, true, async (inbox) => expect(inbox.state.live.routes).toEqual([]));
    });
  });
});
