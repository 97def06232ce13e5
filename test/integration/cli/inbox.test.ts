import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli, eventually } from "../../support/bottle-cli.ts";
import {
  askHost,
  type InboxBottle,
  type InboxBottleOptions,
  openInboxBottle,
} from "../../support/inbox-bottle.ts";

let cli: BottleCli;
const open: InboxBottle[] = [];
beforeAll(() => {
  cli = createBottleCli();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((bottle) => bottle.end()));
});
afterAll(() => cli.remove());

let counter = 0;
async function bottle(options: InboxBottleOptions = {}): Promise<InboxBottle> {
  const opened = await openInboxBottle(cli, `worker-${String(++counter).padStart(5, "0")}`, options);
  open.push(opened);
  return opened;
}

function statusOf(of: InboxBottle, ticket: string): string | undefined {
  return of.inbox.requests().find((request) => request.ticket === ticket)?.status;
}

const HOSTILE =
  "please \u001b[2J\u001b]52;c;ZXZpbA==\u0007 \u202etxt.exe\u200b\nwould newly be possible\n    nothing";
/** What no terminal may be sent by a listing. */
const UNSAFE = /[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u200b\u202a-\u202e\u2066-\u2069]/;

describe("bottle inbox", () => {
  it("lists what waits in every running bottle, and its exit code says whether anything does", async () => {
    const [one, two] = [await bottle({ label: "first" }), await bottle()];
    const quiet = await cli.run(["inbox"]);
    expect(quiet).toMatchObject({ code: 0, stdout: "", stderr: "nothing waits for you\n" });
    const ticket = await one.ask(askHost("api.x.test", ["GET", "POST"]));
    await two.ask(askHost("other.test"));
    const busy = await cli.run(["inbox"]);
    expect(busy.code).toBe(3);
    expect(busy.stdout).toMatch(
      new RegExp(`^${ticket.slice(0, 8)}  ${one.id}  \\d+ s +15 min +GET, POST api\\.x\\.test/v1/\\*$`, "m"),
    );
    expect(busy.stdout).toContain(`${two.id}  `);
    expect(busy.stdout.split("\n")[0]).toMatch(
      /^TICKET +BOTTLE +WAITS +REFUSED IN +WOULD NEWLY BE POSSIBLE$/,
    );
  });

  it("begins no row of a terminal with what an agent asks for", async () => {
    const planned = { repos: [{ name: "app", upstream: "/app.git", refs: [] }] };
    const one = await bottle({ planned });
    // Drawn as nothing, until the terminal's edge.
    const subject = `${"\u2800".repeat(150)}${"cafe".repeat(2)}  ${one.id}  9 s  15 min  GET docs.test`;
    const ticket = await one.ask({
      ...{ kind: "git-exception", repo: "app", code: "path-protected" },
      subjects: [subject],
    });
    const rows = async (...args: readonly string[]): Promise<readonly string[]> => {
      const terminal = cli.terminal(args);
      await terminal.exit;
      const rowsOf = (line: string): readonly string[] => line.match(/.{1,120}/gu) ?? [];
      return terminal.raw().split("\r\n").flatMap(rowsOf);
    };
    const digits = ticket.slice(0, 8);
    const own = new RegExp(`^(?:TICKET|${digits}|    |warning|bottle inbox|denied|${one.id}: )`);
    for (const row of await rows("inbox")) expect(row).toMatch(own);
    for (const row of await rows("inbox", "deny", ticket, "--reason", "no")) expect(row).toMatch(own);
  });

  it("prints as data exactly what the keepers say", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"), HOSTILE);
    const { code, stdout } = await cli.run(["inbox", "--once", "--json"]);
    expect(code).toBe(3);
    const { bottles, unreached } = JSON.parse(stdout);
    expect(unreached).toEqual([]);
    expect(bottles).toEqual([
      { bottle: one.id, agent: "worker", ...one.inbox.view(), now: expect.any(Number) },
    ]);
    expect(bottles[0].pending[0]).toMatchObject({ ticket, described: ["GET api.x.test/v1/*"] });
  });

  it("says so when a keeper does not answer, and lists the others", async () => {
    const one = await bottle();
    const stuck = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    await stuck.end();
    const folder = join(cli.runtime, "bot-bottle", stuck.id);
    cli.write(`h/state/${stuck.id}/token`, "x");
    cli.write(`r/bot-bottle/${stuck.id}/none`, "");
    const silent = createServer((socket) => socket.on("error", () => {}).resume());
    await new Promise<void>((resolve) => silent.listen(join(folder, "control.sock"), resolve));
    try {
      const { code, stdout, stderr } = await cli.run(["inbox"]);
      expect(code).toBe(3);
      expect(stdout).toContain(ticket.slice(0, 8));
      expect(stderr).toMatch(new RegExp(`^warning: ${stuck.id}: `, "m"));
      await one.inbox.deny({ op: "deny", token: "", ticket, by: "me", reason: "no" });
      expect((await cli.run(["inbox"])).code).toBe(1);
    } finally {
      await new Promise((resolve) => silent.close(resolve));
      await cli.run(["rm", "--force", stuck.id]);
    }
  });

  it("tells every change as a line, of bottles that come and go too", async () => {
    const one = await bottle();
    const watching = cli.begin(["inbox", "--watch", "--json"]);
    const lines = (): { bottle: string; ended?: true; pending?: { ticket: string }[] }[] =>
      watching
        .stdout()
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line));
    try {
      await eventually("the first line", () => lines().find(({ bottle }) => bottle === one.id));
      const two = await bottle();
      const ticket = await two.ask(askHost("api.x.test"));
      await eventually("the ticket", () => lines().find(({ pending }) => pending?.[0]?.ticket === ticket));
      await two.end();
      await eventually("its end", () => lines().find(({ bottle, ended }) => ended && bottle === two.id));
    } finally {
      watching.child.kill("SIGTERM");
    }
    expect((await watching.ended).code).toBe(143);
  });

  it("refuses --watch with --once", async () => {
    expect((await cli.run(["inbox", "--watch", "--once"])).code).toBe(2);
  });
});

describe("bottle inbox show", () => {
  it("tells the computed difference, and sets the agent's words apart where they can do nothing", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("xn--pple-43d.com", ["POST"], "/x"), HOSTILE);
    const { code, stdout } = await cli.run(["inbox", "show", ticket.slice(0, 4)]);
    expect(code).toBe(0);
    expect(stdout).not.toMatch(UNSAFE);
    expect(stdout).toContain("  would newly be possible\n    POST xn--pple-43d.com/x/*\n");
    expect(stdout).toContain("internationalised name with");
    const agents = stdout.slice(stdout.indexOf("the agent's words, unchecked"));
    const said = agents.split("\n").filter((line) => line.startsWith("    | "));
    expect(said.join("")).toContain("please");
    expect(stdout.match(/^ {2}would newly be possible$/gm)).toHaveLength(1);
  });

  it("holds ten thousand wide, combining and line-breaking characters to the agent's own lines", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"), `${"漢\u0301\r".repeat(600)}END`);
    const { stdout } = await cli.run(["inbox", "show", ticket]);
    expect(stdout).not.toMatch(UNSAFE);
    const words = stdout.split("\n").filter((line) => line.includes("漢"));
    expect(words.length).toBeGreaterThan(5);
    expect(words.every((line) => line.startsWith("    | "))).toBe(true);
  });

  it("shows a push that waits: refs, files, and the agent's commits as the agent's", async () => {
    const one = await bottle();
    const answered = one.review({
      kind: "git-push",
      repo: "app",
      updates: [{ ref: "refs/heads/x", old: "0".repeat(40), new: "abcdef0123".repeat(4) }],
      commits: [{ id: "abcdef0123".repeat(4), author: "Me \u001b[31m", subject: "all is fine" }],
      commitCount: 61,
      files: ["M a.txt"],
      fileCount: 1,
    });
    const ticket = await eventually("the push", () => one.inbox.view().pending[0]?.ticket);
    const { stdout } = await cli.run(["inbox", "show", ticket]);
    expect(stdout).toContain("would be pushed to app\n    refs/heads/x  nothing -> abcdef0123\n");
    expect(stdout).toContain("    | abcdef0123  Me \\u{1b}[31m: all is fine\n    | and 60 more\n");
    const refused = await cli.run(["inbox", "approve", ticket, "--for", "1h"]);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("no lifetime") });
    const { digest } = JSON.parse((await cli.run(["inbox", "show", ticket, "--json"])).stdout).pending;
    const approved = await cli.run([
      "inbox",
      "approve",
      ticket,
      "--yes",
      "--digest",
      digest,
      "--reason",
      "good",
    ]);
    expect(approved.code).toBe(0);
    expect(await answered).toEqual({ decision: "approve", note: "good" });
  });

  it("names what it does not find, and what a prefix leaves open", async () => {
    const one = await bottle();
    for (const prefix of ["", "abc", "ABCD", "../../x"])
      expect((await cli.run(["inbox", "show", prefix])).code).toBe(2);
    expect(await cli.run(["inbox", "show", "abcd"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("nothing waits"),
    });
    const ticket = await one.ask(askHost("api.x.test"));
    expect((await cli.run(["inbox", "show", ticket])).code).toBe(0);
  });
});

describe("bottle inbox approve", () => {
  it("shows, asks on the terminal, and gives for as long as was said", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    const terminal = cli.terminal(["inbox", "approve", ticket.slice(0, 6), "--for", "2h", "--bytes", "10M"]);
    try {
      await terminal.shows("GET api.x.test/v1/*");
      await terminal.shows("approve for 2 h, at most 10.0 MiB? [y/N]");
      expect(statusOf(one, ticket)).toBe("pending");
      terminal.type("y\r");
      expect(await terminal.exit).toBe(0);
    } finally {
      await terminal.close();
    }
    const [grant] = one.inbox.view().grants;
    expect(grant).toMatchObject({ ticket, usesLeft: null, bytesLeft: 10 * 2 ** 20 });
    expect((grant?.expiresAt ?? 0) - (grant?.at ?? 0)).toBe(2 * 3_600_000);
    expect(one.applied.at(-1)?.allowed.routes.map(({ host }) => host)).toEqual(["api.x.test"]);
    const [line] = cli.log(one.id).filter(({ event }) => event === "request.approved");
    expect(line?.data).toMatchObject({ ticket, changes: ["GET api.x.test/v1/*"] });
    expect(line?.data["by"]).not.toBe("");
  });

  it.each([
    ["n\r", 1],
    ["\r", 1],
    ["\u0003", 130],
    ["\u0004", 1],
  ])("takes %j for no", async (keys, code) => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    const terminal = cli.terminal(["inbox", "approve", ticket]);
    try {
      await terminal.shows("[y/N]");
      terminal.type(keys);
      expect(await terminal.exit).toBe(code);
    } finally {
      await terminal.close();
    }
    expect(statusOf(one, ticket)).toBe("pending");
  });

  it("wants the digest of what was shown where nobody can be asked (I6)", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    expect((await cli.run(["inbox", "approve", ticket])).code).toBe(1);
    expect(await cli.run(["inbox", "approve", ticket, "--yes"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--digest"),
    });
    const other = await cli.run(["inbox", "approve", ticket, "--yes", "--digest", "0".repeat(64)]);
    expect(other).toMatchObject({ code: 1, stderr: expect.stringContaining("not what was shown") });
    expect(statusOf(one, ticket)).toBe("pending");
    const { digest } = JSON.parse((await cli.run(["inbox", "show", ticket, "--json"])).stdout).pending;
    expect((await cli.run(["inbox", "approve", ticket, "--once", "--yes", "--digest", digest])).code).toBe(0);
    expect(one.inbox.view().grants).toMatchObject([{ ticket, usesLeft: 1 }]);
  });

  it("approves nothing when what it would allow changed between the showing and the yes (I6)", async () => {
    const one = await bottle();
    const [first, second] = [await one.ask(askHost("api.x.test")), await one.ask(askHost("b.test"))];
    const terminal = cli.terminal(["inbox", "approve", first]);
    try {
      await terminal.shows("[y/N]");
      const digest = one.inbox.view().pending.find(({ ticket }) => ticket === second)?.digest ?? "";
      await one.inbox.approve({ op: "approve", token: "", ticket: second, digest, by: "somebody" });
      terminal.type("y\r");
      expect(await terminal.exit).toBe(1);
      expect(terminal.shown()).toContain("lookatitagain");
    } finally {
      await terminal.close();
    }
    expect(statusOf(one, first)).toBe("pending");
  });

  it.each([
    [["--once", "--session"], 2],
    [["--for", "soon"], 2],
    [["--for", "0s"], 2],
    [["--for", "1h 30m"], 2],
    [["--bytes", "-1"], 2],
    [["--bytes", "0"], 2],
  ])("refuses %j", async (flags, code) => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    expect((await cli.run(["inbox", "approve", ticket, ...flags])).code).toBe(code);
    expect(statusOf(one, ticket)).toBe("pending");
  });
});

describe("bottle inbox edit", () => {
  const editor = (script: string): string => {
    cli.write(`w/editor-${++counter}.sh`, script);
    return `sh ${cli.path("w", `editor-${counter}.sh`)}`;
  };

  it("shows anew what the edited request would allow, and gives just that", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test", ["GET", "POST"]));
    const env = {
      EDITOR: editor(`cp "$1" ${cli.path("w", "seen")}; sed -i -e '/- POST/d' -e 's,/v1,/v1/users,' "$1"\n`),
    };
    const terminal = cli.terminal(["inbox", "edit", ticket, "--session"], { env });
    try {
      await terminal.shows("GET api.x.test/v1/users/*");
      await terminal.shows("approve that for the bottle's life, resumed or not? [y/N]");
      terminal.type("y\r");
      expect(await terminal.exit).toBe(0);
    } finally {
      await terminal.close();
    }
    expect(one.inbox.view().grants).toMatchObject([
      { ticket, expiresAt: null, described: ["GET api.x.test/v1/users/*"] },
    ]);
    expect(readFileSync(cli.path("w", "seen"), "utf8")).toContain("#   GET, POST api.x.test/v1/*");
  });

  it("names no time for what is only kept when the bottle is resumed", async () => {
    const one = await bottle();
    const ticket = await one.ask({ kind: "environment", variables: ["ONE", "TWO"], files: [], programs: [] });
    const env = { EDITOR: editor(`sed -i -e '/- TWO/d' "$1"\n`) };
    const terminal = cli.terminal(["inbox", "edit", ticket, "--once"], { env });
    try {
      await terminal.shows("approve this, to be given by bottle resume? [y/N]");
      terminal.type("y\r");
      await terminal.shows(`agreed; it is given by bottle resume ${one.id} --with`);
      expect(await terminal.exit).toBe(0);
    } finally {
      await terminal.close();
    }
    expect(one.inbox.view().grants).toMatchObject([{ ticket, expiresAt: null, usesLeft: null }]);
  });

  it("asks for another try at what cannot be read, and does nothing when nothing was changed", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    const broken = cli.terminal(["inbox", "edit", ticket], {
      env: { EDITOR: editor(`echo 'kind: nonsense' > "$1"\n`) },
    });
    try {
      await broken.shows("edit again? [y/N]");
      broken.type("n\r");
      expect(await broken.exit).toBe(1);
    } finally {
      await broken.close();
    }
    const same = cli.terminal(["inbox", "edit", ticket], { env: { EDITOR: "true" } });
    await same.shows("nothing was changed");
    expect(await same.exit).toBe(1);
    expect(statusOf(one, ticket)).toBe("pending");
    expect((await cli.run(["inbox", "edit", ticket])).code).toBe(1);
  });
});

describe("bottle inbox deny and revoke, freeze and thaw", () => {
  it("denies with a reason, which the agent is told", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    expect((await cli.run(["inbox", "deny", ticket, "--reason", "x".repeat(2_001)])).code).toBe(2);
    expect((await cli.run(["inbox", "deny", ticket, "--reason", "use the mirror"])).code).toBe(0);
    expect(one.inbox.requests()).toMatchObject([{ ticket, status: "denied", reason: "use the mirror" }]);
    expect((await cli.run(["inbox", "deny", ticket])).code).toBe(1);
  });

  it("revokes what was given, and tells deny from revoke", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    expect((await cli.run(["inbox", "revoke", ticket])).stderr).toContain("bottle inbox deny");
    const [pending] = one.inbox.view().pending;
    const digest = pending?.digest ?? "";
    await one.inbox.approve({ op: "approve", token: "", ticket, digest, by: "me" });
    expect((await cli.run(["inbox"])).stdout).toMatch(/^GRANT .*\n.* me +\d+ min +GET api/m);
    expect((await cli.run(["inbox", "approve", ticket])).stderr).toContain("bottle inbox revoke");
    expect((await cli.run(["inbox", "show", ticket])).stdout).toContain("newly possible with it");
    expect((await cli.run(["inbox", "revoke", ticket.slice(0, 8), "--reason", "enough"])).code).toBe(0);
    expect(one.inbox.view().grants).toEqual([]);
    expect(one.applied.at(-1)?.allowed.routes).toEqual([]);
    expect((await cli.run(["inbox", "revoke", ticket])).code).toBe(1);
  });

  it("freezes and thaws, and the list says so", async () => {
    const one = await bottle();
    expect((await cli.run(["freeze", one.id, "--reason", "odd"])).code).toBe(0);
    expect(one.applied.at(-1)?.frozen).toBe(true);
    expect((await cli.run(["inbox"])).stderr).toContain(`${one.id} is frozen`);
    expect((await cli.run(["thaw", one.id])).code).toBe(0);
    expect(one.applied.at(-1)?.frozen).toBe(false);
    const events = cli.log(one.id).filter(({ event }) => event.startsWith("bottle."));
    expect(events.map(({ event }) => event)).toEqual(["bottle.frozen", "bottle.thawed"]);
    expect(events[0]?.data).toMatchObject({ reason: "odd" });
    expect((await cli.run(["freeze", "worker-99999"])).code).toBe(1);
  });
});
