/** `supervise.notify`: a real program is told of what happens, and nothing of the agent's is ever a word of its argv. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openLog } from "../../../src/audit/log.ts";
import { readEvents } from "../../../src/audit/read-events.ts";
import type { BottlePlan } from "../../../src/contract/plan.ts";
import { openInbox } from "../../../src/keeper/open-inbox.ts";
import { homeOf } from "../../../src/lib/paths.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { eventually } from "../../support/bottle-cli.ts";

let folder: string;
let scope: Scope;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bb-notify-"));
  scope = createScope();
});
afterEach(async () => {
  await scope.close();
  rmSync(folder, { recursive: true });
});

async function open(notify: readonly [string, ...string[]]) {
  const home = homeOf({ BOT_BOTTLE_HOME: folder });
  const log = await openLog({ home, bottle: "b-00000" });
  scope.defer("log", () => log.close());
  const plan = {
    routes: [],
    supervise: { patienceMs: 60_000, freezeOnCanary: false, notify },
  } as unknown as BottlePlan;
  const nothing = async (): Promise<void> => {};
  const inbox = await openInbox(
    {
      ...{ id: "b-00000", plan, log, resumed: false, secrets: [] },
      ...{ tellAgent: nothing, apply: nothing, lack: () => undefined },
    },
    scope,
  );
  const ask = (host: string, justification: string) =>
    inbox.ask({ kind: "request", ask: { kind: "host", host, methods: ["GET"], paths: [] }, justification });
  return { ask, log };
}

describe("supervise.notify", () => {
  it("is started with what happened on its stdin, and with its own words alone", async () => {
    const [told, words] = [join(folder, "told"), join(folder, "words")];
    const { ask } = await open([
      ...(["sh", "-c", 'cat > "$1"; printf "%s\\n" "$@" > "$2"', "notify", told, words] as const),
    ]);
    await ask("a.example.test", "$(touch pwned) ; `id` --help");
    await eventually("the program", () => (existsSync(words) ? true : undefined));
    expect(JSON.parse(readFileSync(told, "utf8"))).toMatchObject({
      bottle: "b-00000",
      event: "request.asked",
      data: { ask: { host: "a.example.test" }, justification: "$(touch pwned) ; `id` --help" },
    });
    expect(readFileSync(words, "utf8")).toBe(`${told}\n${words}\n`);
  });

  it.each([
    ["is not there", ["/nonexistent/program"], "ENOENT"],
    ["fails", ["sh", "-c", "exit 3"], "ended with 3"],
    ["does not read", ["true"], undefined],
  ] as const)("that %s holds nothing up, and is on the log if it failed", async (_what, argv, problem) => {
    const { ask, log } = await open([...argv] as [string, ...string[]]);
    expect(await ask("a.example.test", "x".repeat(1_900))).toMatchObject({ kind: "request" });
    expect(await ask("b.example.test", "y")).toMatchObject({ kind: "request" });
    if (problem === undefined) return;
    const failure = await eventually("the failure", async () => {
      const { entries } = await readEvents(log.path, (event) => event === "notify.failed");
      return entries[0];
    });
    expect(String(failure.data["problem"])).toContain(problem);
  });
});
