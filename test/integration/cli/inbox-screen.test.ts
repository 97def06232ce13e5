import { execFileSync } from "node:child_process";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  BOTTLE,
  type BottleCli,
  createBottleCli,
  eventually,
  killIfThere,
  pause,
} from "../../support/bottle-cli.ts";
import {
  askHost,
  type InboxBottle,
  type InboxBottleOptions,
  openInboxBottle,
} from "../../support/inbox-bottle.ts";
import { realPid } from "../../support/pid-of.ts";
import { HAS_SSHD, startSshd } from "../../support/sshd.ts";
import { openTmux, type Tmux } from "../../support/tmux.ts";

let cli: BottleCli;
const bottles: InboxBottle[] = [];
const terminals: Tmux[] = [];
beforeAll(() => {
  cli = createBottleCli();
});
afterEach(async () => {
  await Promise.all(terminals.splice(0).map((tmux) => tmux.end()));
  await Promise.all(bottles.splice(0).map((bottle) => bottle.end()));
});
afterAll(() => cli.remove());

let counter = 0;
async function bottle(options: InboxBottleOptions = {}): Promise<InboxBottle> {
  const opened = await openInboxBottle(cli, `worker-${String(++counter).padStart(5, "0")}`, options);
  bottles.push(opened);
  return opened;
}

async function openScreen(
  options: {
    readonly size?: readonly [number, number];
    readonly env?: Readonly<Record<string, string>>;
  } = {},
): Promise<Tmux> {
  const tmux = await openTmux(`${process.execPath} ${BOTTLE} inbox --watch; echo ended with $?`, {
    env: { ...cli.env, PS1: "$ ", ...options.env },
    cwd: cli.folder,
    ...(options.size !== undefined && { size: options.size }),
  });
  terminals.push(tmux);
  await tmux.shows("bottle inbox   waiting:");
  return tmux;
}

function statusOf(of: InboxBottle, ticket: string): string | undefined {
  return of.inbox.requests().find((request) => request.ticket === ticket)?.status;
}

/**
 * `count` requests over as many bottles as it takes: a bottle lets no more than 50 wait.
 * @returns their hosts, oldest first by what the bottles' clocks say: a host's clock may be set back between two of them.
 */
async function crowd(count: number): Promise<readonly string[]> {
  const crowded: InboxBottle[] = [];
  for (let first = 0; first < count; first += 50) {
    const one = await bottle();
    crowded.push(one);
    for (let i = first; i < Math.min(count, first + 50); i++)
      await one.ask(askHost(`h${String(i).padStart(3, "0")}.test`));
  }
  return crowded
    .flatMap(({ inbox }) => inbox.view().pending)
    .sort((a, b) => a.at - b.at)
    .map((each) => (each.kind === "request" && each.ask.kind === "host" ? each.ask.host : ""));
}

describe("bottle inbox --watch", () => {
  it("approves for as long as is typed, denies with a reason, revokes, freezes and thaws", async () => {
    const one = await bottle();
    const [first, second] = [await one.ask(askHost("first.test")), await one.ask(askHost("second.test"))];
    const tmux = await openScreen();
    await tmux.shows(/^> .*first\.test/m);
    expect((await tmux.screen()).join("\n")).toContain("would newly be possible");
    await tmux.keys("a");
    const sheet = await tmux.shows("for how long? [1h] _");
    expect(sheet).toContain("GET first.test/v1/*");
    expect(sheet).toContain("  | because");
    await tmux.type("2h");
    await tmux.keys("Enter");
    await tmux.shows("approved for 2 h");
    expect(one.inbox.view().grants).toMatchObject([{ ticket: first }]);
    await tmux.shows(/^> .*second\.test/m);
    await tmux.keys("d");
    await tmux.shows("why?");
    await tmux.type("not today");
    await tmux.keys("Enter");
    await tmux.shows("denied");
    expect(one.inbox.requests().find(({ ticket }) => ticket === second)?.reason).toBe("not today");
    await tmux.keys("G", "r");
    await tmux.shows("revoke GET first.test/v1/*");
    await tmux.keys("Enter");
    await tmux.shows("revoked");
    expect(one.inbox.view().grants).toEqual([]);
    await tmux.keys("f", "Enter");
    await tmux.shows("FROZEN");
    expect(one.inbox.state.frozen).toBe(true);
    await tmux.keys("t");
    await eventually("the thaw", () => !one.inbox.state.frozen);
    await tmux.keys("q");
    await tmux.shows("ended with 0");
  });

  it("goes through every key of a burst while 200 wait and bottles come and go", async () => {
    const hosts = await crowd(200);
    const tmux = await openScreen();
    await tmux.shows("waiting: 200   4 bottles");
    let isOver = false;
    const coming = (async () => {
      while (!isOver) {
        const guest = await bottle();
        // Asked later than all the others, so that it stands below them.
        await guest.ask(askHost("zz.test"));
        await pause(30);
        await guest.end();
      }
    })();
    try {
      let at = 0;
      for (const [key, count] of [
        ["j", 150],
        ["k", 37],
        ["j", 61],
        ["k", 120],
        ["j", 99],
      ] as const) {
        await tmux.keys("-N", String(count), key);
        at += key === "j" ? count : -count;
        await tmux.shows(new RegExp(`^> .*${hosts[at]}`, "m"));
      }
      expect(at).toBe(153);
    } finally {
      isOver = true;
      await coming;
    }
    await tmux.shows("waiting: 200   4 bottles");
    // The keys of an answer, too, typed with no look at what is drawn between them.
    await tmux.type(`g/h199`);
    await tmux.keys("Enter");
    await tmux.shows(/^> .*h199\.test/m);
    await tmux.type("dbecause of the burst");
    await tmux.keys("Enter", "Escape");
    await tmux.shows("waiting: 199");
    const last = bottles[3];
    expect(last?.inbox.requests().at(-1)).toMatchObject({ status: "denied", reason: "because of the burst" });
  });

  it("fits 80x24, follows the window to any size, and keeps what it shows", async () => {
    const on = (await crowd(60))[30];
    const tmux = await openScreen();
    await tmux.shows("waiting: 60   2 bottles");
    await tmux.keys("-N", "30", "j");
    await tmux.shows(new RegExp(`^> .*${on}`, "m"));
    for (const [columns, rows] of [
      [80, 24],
      [200, 50],
      [40, 10],
      [20, 5],
      [120, 30],
    ] as const) {
      await tmux.resize(columns, rows);
      await tmux.shows(/^> .{0,9}/m);
      await eventually("a screen of that size", async () => {
        const lines = await tmux.screen();
        return (
          lines.length === rows &&
          lines[0]?.startsWith("bottle inbox") &&
          lines.every((line) => line.length <= columns)
        );
      });
    }
    await tmux.resize(80, 24);
    // All of it: until it is drawn anew, tmux shows what is left of the larger one.
    const text = await tmux.shows(new RegExp(`^bottle inbox(?:.|\\n)*^> .*${on}(?:.|\\n)*a approve`, "m"));
    expect(text).toContain("bottles, and what they were given");
    expect(text).toContain("would newly be possible");
  });

  it("shows of hostile text only what can do nothing, and no row moves another", async () => {
    const one = await bottle();
    await one.ask(
      askHost("api.x.test"),
      `\u001b[2J\u001b]0;x\u0007\u202e${"漢字 ❤\ufe0f e\u0301 👩\u200d💻 ".repeat(40)}\nwould newly be possible`,
    );
    const tmux = await openScreen();
    await tmux.shows("GET api.x.test/v1/*");
    await tmux.keys("Enter");
    const lines = (await tmux.shows("q back")).split("\n");
    const words = lines.findIndex((line) => line.includes("the agent's words"));
    const said = lines.slice(words + 1, -3).filter((line) => line !== "");
    expect(said.length).toBeGreaterThan(3);
    expect(said.every((line) => line.startsWith("  | "))).toBe(true);
    expect(said[0]).toContain("\\u{1b}[2J\\u{1b}]0;x\\u{7}\\u{202e}漢字");
    expect(lines.filter((line) => line.startsWith("would newly be possible"))).toHaveLength(1);
    expect(lines.at(-1)).toContain("q back");
  });

  it("approves nothing that is pasted, and nothing typed before it was drawn (I6)", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    const tmux = await openScreen();
    await tmux.shows("api.x.test");
    await tmux.paste("a\n\ny\n");
    await tmux.keys("?");
    await tmux.shows("bottle inbox: keys");
    expect(statusOf(one, ticket)).toBe("pending");
  });

  it("edits in $EDITOR, and shows what that would allow before it asks", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test", ["GET", "POST"]));
    cli.write(
      "w/editor.sh",
      `sed -i -e '/- POST/d' "$1"; echo "the editor had the terminal"; read line; echo "$line" > ${cli.path("w", "typed")}\n`,
    );
    const tmux = await openScreen({ env: { EDITOR: `sh ${cli.path("w", "editor.sh")}` } });
    await tmux.shows("api.x.test");
    await tmux.keys("e");
    await tmux.shows("the editor had the terminal");
    expect(await tmux.about("alternate_on")).toBe("0");
    await tmux.type("mine\n");
    const sheet = await tmux.shows("approve what you wrote");
    expect(sheet).toContain("GET api.x.test/v1/*");
    expect(sheet).not.toContain("POST");
    await tmux.type("once");
    await tmux.keys("Enter");
    await tmux.shows("approved once");
    expect(one.inbox.view().grants).toMatchObject([
      { ticket, usesLeft: 1, described: ["GET api.x.test/v1/*"] },
    ]);
    expect(execFileSync("cat", [cli.path("w", "typed")], { encoding: "utf8" })).toBe("mine\n");
    cli.write("w/editor.sh", "exit 3\n");
    await one.ask(askHost("b.test"));
    await tmux.shows("b.test");
    await tmux.keys("g", "e");
    await tmux.shows("ended with 3");
    await tmux.keys("j");
  });

  it("says what a keeper refused", async () => {
    const one = await bottle();
    const [first, second] = [await one.ask(askHost("first.test")), await one.ask(askHost("second.test"))];
    const tmux = await openScreen();
    await tmux.shows(/^> .*first\.test/m);
    await tmux.keys("a");
    await tmux.shows("for how long?");
    const digest = one.inbox.view().pending.find(({ ticket }) => ticket === second)?.digest ?? "";
    await one.inbox.approve({ op: "approve", token: "", ticket: second, digest, by: "somebody" });
    await tmux.shows("what it would allow has changed");
    await tmux.keys("Enter");
    await tmux.shows("look at it again");
    expect(statusOf(one, first)).toBe("pending");
  });

  it.each([
    ["Ctrl-C", (tmux: Tmux) => tmux.keys("C-c"), 0],
    ["SIGTERM", (_: Tmux, pid: number) => killIfThere(pid, "SIGTERM"), 143],
    ["SIGHUP", (_: Tmux, pid: number) => killIfThere(pid, "SIGHUP"), 129],
  ] as const)("puts the terminal back at %s", async (_name, end, code) => {
    const tmux = await openScreen();
    expect(await tmux.about("alternate_on")).toBe("1");
    const [pid] = cli
      .processes()
      .filter(
        (each) =>
          cli.commandOf(each).includes("inbox --watch") && cli.commandOf(each).startsWith(process.execPath),
      );
    await end(tmux, realPid(pid));
    await tmux.shows(`ended with ${code}`);
    expect(await tmux.about("alternate_on")).toBe("0");
    expect(await tmux.about("cursor_flag")).toBe("1");
    expect(await tmux.about("wrap_flag")).toBe("1");
    await tmux.type("echo back to nor''mal\n");
    await tmux.shows(/^back to normal/m);
  });

  it("puts the terminal back and says what broke when it crashes", async () => {
    const boom = encodeURIComponent('setTimeout(() => { throw new Error("boom") }, 2500)');
    const tmux = await openScreen({ env: { NODE_OPTIONS: `--import=data:text/javascript,${boom}` } });
    const text = await tmux.shows(/ended with \d/);
    expect(text).toContain("Error: boom");
    expect(text).toContain("ended with 70");
    expect(await tmux.about("alternate_on")).toBe("0");
  });

  it("is suspended and comes back", async () => {
    const tmux = await openScreen();
    await tmux.keys("C-z");
    await tmux.shows(/Stopped|suspended/);
    expect(await tmux.about("alternate_on")).toBe("0");
    await tmux.type("fg\n");
    await tmux.shows("bottle inbox   waiting:");
    await tmux.keys("?");
    await tmux.shows("bottle inbox: keys");
  });

  it("works without colour, and not at all without a terminal", async () => {
    const one = await bottle();
    await one.ask(askHost("api.x.test"), "x");
    const terminal = cli.terminal(["inbox", "--watch"], { env: { NO_COLOR: "1" } });
    try {
      await terminal.shows("api.x.test");
      expect(terminal.raw()).not.toMatch(/\x1b\[[0-9;]*[349][0-7]m/);
      terminal.type("q");
      expect(await terminal.exit).toBe(0);
      expect(terminal.raw()).toMatch(/\x1b\[\?1049l$/);
    } finally {
      await terminal.close();
    }
    const refused = await cli.run(["inbox", "--watch"]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("no terminal") });
    const dumb = cli.terminal(["inbox", "--watch"], { env: { TERM: "dumb" } });
    await dumb.shows("no terminal to draw");
    expect(await dumb.exit).toBe(1);
  });
});

describe.skipIf(!HAS_SSHD)("over ssh", () => {
  it("is drawn, resized and answered as at home", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    const sshd = await startSshd(cli.path("sshd"));
    try {
      const key = cli.write("sshd/key", sshd.privateKey);
      const env = Object.entries(cli.env).map(([name, value]) => `${name}='${value}'`);
      const remote = `env ${env.join(" ")} ${process.execPath} ${BOTTLE} inbox --watch`;
      const options = "-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
      cli.write(
        "w/over.sh",
        `ssh -tt ${options} -i ${key} -p ${sshd.port} ${sshd.user}@127.0.0.1 "${remote}"; echo ended with $?\n`,
      );
      const tmux = await openTmux(`sh ${cli.path("w", "over.sh")}`, {
        env: { ...cli.env, PS1: "$ " },
        cwd: cli.folder,
      });
      terminals.push(tmux);
      await tmux.shows(/^> .*api\.x\.test/m);
      await tmux.resize(100, 30);
      await eventually("a screen of that size", async () =>
        (await tmux.screen()).at(-1)?.startsWith("a approve"),
      );
      await tmux.keys("Down", "Up", "Enter");
      await tmux.shows("q back");
      await tmux.keys("Escape");
      await tmux.shows("bottles, and what they were given");
      await tmux.keys("d");
      await tmux.type("from afar");
      await tmux.keys("Enter");
      await tmux.shows("denied");
      expect(statusOf(one, ticket)).toBe("denied");
      await tmux.keys("q");
      await tmux.shows("ended with 0");
    } finally {
      sshd.close();
    }
  });
});
