/**
 * Time that does not go on as it should: the host's clock is set, and processes of a bottle stand still for a while. The
 * keeper's clock is set by libfaketime, the guest's programs' by the same; this machine's own is not touched.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlainSite, type Upstream } from "../../doubles/upstreams.ts";
import { eventually, pause } from "../../support/bottle-cli.ts";
import { givenInBottle } from "../../support/given-in-bottle.ts";
import { call } from "../../support/mcp-in-bottle.ts";
import { realPid } from "../../support/pid-of.ts";
import {
  createRealOperator,
  type LogLine,
  type RealBottle,
  type RealOperator,
  shell,
} from "../../support/real-bottle.ts";

const library = ["/usr/lib", "/usr/lib64"]
  .flatMap((folder) => (existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []))
  .map((folder) => join(folder, "faketime/libfaketime.so.1"))
  .find((path) => existsSync(path));
if (library === undefined)
  console.warn("SKIPPED: clocks that are set: no libfaketime here (Debian: faketime)");

const HOURS_5 = 5 * 3600;
/** What was put on the log holds for the others like it for the rest of its second. */
const ADMITTED_MS = 1_000;
/** Asks for a page that it may have, again and again, and notes what comes of it. */
const ASKING = `while :; do
  curl -s -m 20 -o /dev/null -w '%{http_code}\\n' https://site.test/open >>~/seen
  sleep 0.2
done`;

let operator: RealOperator;
let site: Upstream;
let bottle: RealBottle;
let clock: string;
let faked: { readonly env?: { readonly PATH: string } };

beforeAll(async () => {
  operator = await createRealOperator();
  site = await startPlainSite({ tls: await operator.authority.issue(["site.test"]) });
  operator.agent("worker", {
    agent_provider: shell(ASKING),
    supervise: true,
    egress: {
      upstream_ca: [operator.caFile],
      routes: [
        {
          host: "site.test",
          connect_to: `127.0.0.1:${site.port}`,
          matches: [{ paths: [{ type: "exact", value: "/open" }] }],
        },
      ],
    },
  });
  clock = operator.path("clock");
  setClock(0);
  // The shell by which a keeper starts: nothing else of its environment is an operator's to choose.
  const bin = operator.path("bin");
  mkdirSync(bin);
  const words = `LD_PRELOAD=${library} FAKETIME_TIMESTAMP_FILE=${clock} FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_FAKE_MONOTONIC=1`;
  writeFileSync(
    join(bin, "sh"),
    `#!/bin/sh\ncase "$*" in *"bottle.js keeper") export ${words} ;; esac\nexec /bin/sh "$@"\n`,
  );
  chmodSync(join(bin, "sh"), 0o755);
  const PATH = library === undefined ? undefined : `${bin}:${operator.env["PATH"]}`;
  faked = PATH === undefined ? {} : { env: { PATH } };
  bottle = await operator.start("worker", [], faked);
});
afterAll(async () => {
  await operator.remove();
  await site.close();
});

/** The keeper's, from now on. */
function setClock(seconds: number): void {
  writeFileSync(clock, `${seconds < 0 ? "" : "+"}${seconds}\n`);
}

const given = (path: string, lifetime: string): Promise<string> =>
  givenInBottle(operator, bottle, { host: "site.test", path }, ["--for", lifetime]);
const ended = (ticket: string): Promise<unknown> =>
  eventually("the grant's end", () => {
    const mine = ({ event, data }: LogLine): boolean => event === "grant.ended" && data["ticket"] === ticket;
    return bottle.log().find(mine)?.data;
  });
const status = (path: string): Promise<string> =>
  bottle.sh(`curl -sS -o /dev/null -w '%{http_code}' https://site.test${path}`);
/** How far the keeper's own log is from this process's clock. */
const lag = (): number => {
  const { time = "" } = (bottle.log().at(-1) as { time?: string } | undefined) ?? {};
  return (Date.parse(time) - Date.now()) / 1000;
};
const seen = (): readonly string[] =>
  readFileSync(join(operator.home, "state", bottle.id, "home/seen"), "utf8")
    .split("\n")
    .filter(Boolean);

describe.skipIf(library === undefined)("a host whose clock is set", () => {
  it("set back by hours: a grant ends when its time is over all the same", async () => {
    const ticket = await given("/asked", "4s");
    expect(await status("/asked")).toBe("404");
    setClock(-HOURS_5);
    expect(await ended(ticket)).toMatchObject({ how: "expired" });
    // The keeper's clock was: or nothing was tried.
    expect(lag()).toBeLessThan(-HOURS_5 + 600);
    expect(await status("/asked")).toBe("403");
    expect(await status("/open")).toBe("404");
  });

  it("set forward by hours: what was given for less is over", async () => {
    setClock(0);
    const ticket = await given("/later", "1h");
    expect(await status("/later")).toBe("404");
    setClock(HOURS_5);
    expect(await ended(ticket)).toMatchObject({ how: "expired" });
    expect(await status("/later")).toBe("403");
    expect(await status("/open")).toBe("404");
    setClock(0);
    // By then the keeper's clock is hours ahead of this one, and so are the ends of what is given.
    await given("/left", "1h");
    const listed = await operator.bottle(["inbox"]);
    expect(listed.stdout).toMatch(/ (?:59|60) min .*\/left/);
    const { told } = await call(bottle, "list_capabilities", {});
    expect(told["granted"]).toMatchObject([{ until: expect.stringMatching(/ \(in (?:59|60) minutes\)$/) }]);
  });

  it("by days: the bottle's certificates are in force for whoever has that clock", async () => {
    const at = (offset: string): Promise<string> =>
      bottle.sh(
        `LD_PRELOAD=${library} FAKETIME=${offset} curl -s -o /dev/null -w '%{http_code} %{exitcode}' https://site.test/open || :`,
      );
    for (const offset of ["-5h", "+5h", "-6d", "+6d"])
      expect([offset, await at(offset)]).toEqual([offset, "404 0"]);
    // It is by the certificate's dates that it is judged.
    for (const offset of ["-8d", "+8d"]) expect([offset, await at(offset)]).toEqual([offset, "000 60"]);
  });
});

describe("a process of a bottle that stands still for a while", () => {
  it("the keeper: nothing leaves that is not recorded, and goes on as before when it does", async () => {
    await eventually("an answer", () => (seen().at(-1) === "404" ? true : undefined));
    process.kill(bottle.keeper, "SIGSTOP");
    try {
      await eventually("that nothing leaves", async () => {
        const before = seen().length;
        await pause(2 * ADMITTED_MS);
        return seen().length === before ? true : undefined;
      });
    } finally {
      process.kill(bottle.keeper, "SIGCONT");
    }
    await eventually("an answer", () => (seen().at(-1) === "404" ? true : undefined));
    expect(await status("/open")).toBe("404");
  });

  it("egress: the guest gets no answer meanwhile, and its request is served when it goes on", async () => {
    const pid = realPid(await bottle.egress());
    process.kill(pid, "SIGSTOP");
    try {
      const waited = await bottle.exec("curl", "-s", "-m", "1", "https://site.test/open");
      expect(waited.code).toBe(28);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    expect(await status("/open")).toBe("404");
  });

  it("leaves a log that is whole, whatever times are in it", async () => {
    expect((await bottle.stop()).code).toBe(0);
    expect((await operator.bottle(["audit", "verify", bottle.id])).code).toBe(0);
  });
});

it.skipIf(library === undefined)(
  "a clock that is set back between two lives prolongs nothing in the second",
  async () => {
    const before = Math.max(
      ...(bottle.log() as readonly { time?: string }[]).map(({ time = "" }) => Date.parse(time)),
    );
    setClock(-HOURS_5);
    expect((await operator.bottle(["resume", bottle.id, "--yes", "--detach"], faked)).code).toBe(0);
    expect(lag()).toBeLessThan(-HOURS_5 + 600);
    const { told } = await call(bottle, "request_access", {
      ...{ host: "site.test", method: "GET", path: "/more", justification: "please" },
    });
    const { stdout } = await operator.bottle(["inbox", "show", String(told["ticket"]), "--json"]);
    expect((JSON.parse(stdout) as { pending: { at: number } }).pending.at).toBeGreaterThanOrEqual(before);
  },
);
