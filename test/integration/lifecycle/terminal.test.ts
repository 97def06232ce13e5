import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TERMINAL_RESET } from "../../../src/keeper/terminal-rules.ts";
import { BOTTLE, type BottleCli, createBottleCli, isAlive, pause } from "../../support/bottle-cli.ts";
import { realPid } from "../../support/pid-of.ts";
import { openTerminal, type Terminal } from "../../support/real-terminal.ts";

/** Tells what it gets. `shout` makes it write to the clipboard and question the terminal. */
const AGENT = `
const say = (text) => process.stdout.write(text + "\\n");
const size = () => process.stdout.rows + " " + process.stdout.columns;
process.stdout.on("resize", () => say("size " + size()));
process.on("SIGINT", () => say("interrupted"));
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const [, code] = /^quit(\\d)$/.exec(line) || [];
  if (code !== undefined) process.exit(Number(code));
  if (line === "shout") say("a\\x1b]52;c;c2VjcmV0\\x07b\\x1b[cc\\x1b[6nd\\x1b[>0qe");
  else if (line === "full") say("\\x1b[?1049h\\x1b[?25lfull screen");
  else say("got <" + line + ">");
});
say("ready " + size());`;

let cli: BottleCli;
const terminals: Terminal[] = [];
beforeAll(() => {
  cli = createBottleCli();
  cli.agent("talker", ["node", "-e", AGENT]);
});
afterEach(async () => {
  for (const terminal of terminals.splice(0)) await terminal.close();
  await cli.expectNothingLeft();
});
afterAll(() => cli.remove());

const open = (...args: readonly string[]): Terminal => {
  const terminal = cli.terminal(args);
  terminals.push(terminal);
  return terminal;
};

/** A session with the agent, and its bottle's id. */
async function session(): Promise<{ readonly terminal: Terminal; readonly id: string }> {
  const terminal = open("start", "talker", "--yes");
  await terminal.shows("ready 40 120");
  const [id = ""] = cli.kept();
  return { terminal, id };
}

describe("a session on a terminal", () => {
  it("passes on what is typed, the size, Ctrl-C, and the agent's exit code", async () => {
    const { terminal } = await session();
    terminal.type("hello\r");
    await terminal.shows("got <hello>");
    terminal.resize(91, 33);
    await terminal.shows("size 33 91");
    terminal.type("\x03");
    await terminal.shows("interrupted");
    terminal.type("still here\r");
    await terminal.shows("got <still here>");
    terminal.type("quit7\r");
    expect(await terminal.exit).toBe(7);
  });

  it("asks for a value that the manifest wants asked, and shows nothing of it", async () => {
    cli.agent("asking", ["sh", "-c", 'echo "it has $(printf %s "$WORD" | wc -c) letters"'], {
      bottle: { env: { WORD: "?The pass phrase" } },
    });
    const terminal = open("start", "asking", "--yes");
    await terminal.shows("WORD: The pass phrase");
    terminal.type("hush-hush\r");
    await terminal.shows("it has 9 letters");
    expect(terminal.raw()).not.toContain("hush");
    expect(await terminal.exit).toBe(0);
    const interrupted = open("start", "asking", "--yes");
    await interrupted.shows("WORD: The pass phrase");
    interrupted.type("half\x03");
    expect(await interrupted.exit).toBe(130);
    expect(cli.kept()).toEqual([]);
  });

  it("lets no clipboard write and no question to the terminal through", async () => {
    const { terminal } = await session();
    terminal.forget();
    terminal.type("shout\r");
    await terminal.shows("abcde");
    expect(terminal.raw()).not.toMatch(/\x1b\]52|c2VjcmV0|\x1b\[c|\x1b\[6n|\x1b\[>0q/);
    terminal.type("quit0\r");
    expect(await terminal.exit).toBe(0);
  });

  it("is left by Ctrl-], and the agent goes on; a second terminal joins, then a third at once", async () => {
    const { terminal, id } = await session();
    terminal.type("before\r");
    await terminal.shows("got <before>");
    terminal.type("\x1d");
    await terminal.shows(`detached; the agent goes on. bottle attach ${id}`);
    expect(await terminal.exit).toBe(0);
    expect(await cli.list()).toMatchObject([{ id, state: "running" }]);

    const second = open("attach", id);
    // What was shown before, and then a redraw: the size changes and changes back.
    await second.shows("got <before>");
    await second.shows("size 39 120");
    await second.shows("size 40 120");
    const third = open("attach", id);
    await third.shows("got <before>");
    second.type("from the second\r");
    await third.shows("got <from the second>");
    third.type("from the third\r");
    await second.shows("got <from the third>");
    second.type("quit0\r");
    expect(await Promise.all([second.exit, third.exit])).toEqual([0, 0]);
  });

  it.each([
    ["kitty's protocol", "\x1b[93;5u"],
    ["xterm's modifyOtherKeys", "\x1b[27;5;93~"],
  ])("is left by Ctrl-] as %s spells it", async (_name, key) => {
    const { terminal, id } = await session();
    terminal.type(key);
    await terminal.shows("detached");
    expect(await terminal.exit).toBe(0);
    expect((await cli.run(["stop", id])).code).toBe(0);
  });

  it("gives the terminal back as it was, also from an agent that took the whole screen", async () => {
    const script = `before=$(stty -g); "$0" "$@"; [ "$before" = "$(stty -g)" ] && echo same modes`;
    const terminal = openTerminal(
      ["sh", "-c", script, process.execPath, BOTTLE, "start", "talker", "--yes"],
      { cwd: cli.folder, env: cli.env },
    );
    terminals.push(terminal);
    await terminal.shows("ready");
    const [id = ""] = cli.kept();
    terminal.type("full\r");
    await terminal.shows("full screen");
    terminal.type("\x1d");
    await terminal.shows("same modes");
    const raw = terminal.raw();
    expect(raw.indexOf(TERMINAL_RESET)).toBeGreaterThan(raw.indexOf("full screen"));
    expect(await terminal.exit).toBe(0);
    await cli.run(["stop", id]);
  });

  it.each(["SIGKILL", "SIGHUP"] as const)("outlives a terminal that ends it with %s", async (signal) => {
    const { terminal, id } = await session();
    const { keeperPid } = await cli.status(id);
    const command = cli.processes().filter((pid) => pid !== keeperPid && isCommand(pid));
    expect(command).toHaveLength(1);
    process.kill(realPid(command[0]), signal);
    await terminal.exit;
    await pause(200);
    expect(isAlive(keeperPid)).toBe(true);
    const again = open("attach", id);
    await again.shows("ready");
    again.type("there?\r");
    await again.shows("got <there?>");
    again.type("quit0\r");
    expect(await again.exit).toBe(0);
  });

  it("lets go on SIGTERM, and gives the terminal back", async () => {
    const { terminal, id } = await session();
    const { keeperPid } = await cli.status(id);
    const [command = 0] = cli.processes().filter((pid) => pid !== keeperPid && isCommand(pid));
    process.kill(command, "SIGTERM");
    await terminal.shows("detached; the agent goes on");
    expect(terminal.raw()).toContain(TERMINAL_RESET);
    expect(await terminal.exit).toBe(0);
    await cli.run(["stop", id]);
  });

  it("tells on a terminal how a bottle that is stopped elsewhere ended", async () => {
    const { terminal, id } = await session();
    expect((await cli.run(["stop", id])).code).toBe(0);
    await terminal.shows(`kept as it was left:  bottle resume ${id}`);
    expect(await terminal.exit).toBe(143);
  });

  it("can be followed and fed without a terminal", async () => {
    const { terminal, id } = await session();
    terminal.type("\x1d");
    await terminal.exit;
    const { code, stdout } = await cli.run(["attach", id], { stdin: "piped\nquit3\n" });
    expect(code).toBe(3);
    expect(stdout).toContain("got <piped>");
  });
});

describe("exec on a terminal", () => {
  it("gives the command a terminal of the same size, and the exit code back", async () => {
    const { terminal, id } = await session();
    const shell = open("exec", id, "--", "bash", "-c", 'stty size; tty; read -r x; echo "<$x>"; exit 9');
    await shell.shows("40 120");
    await shell.shows("/dev/pts/");
    shell.type("word\r");
    await shell.shows("<word>");
    expect(await shell.exit).toBe(9);
    // The detach key is the agent's session's alone.
    const cat = open("exec", id, "--", "bash", "-c", "stty raw; dd bs=1 count=1 2>/dev/null | od -An -tx1");
    await pause(500);
    cat.type("\x1d");
    await cat.shows("1d");
    expect(await cat.exit).toBe(0);
    terminal.type("quit0\r");
    await terminal.exit;
  });

  it("takes -T for none", async () => {
    const { terminal, id } = await session();
    const shell = open("exec", "-T", id, "--", "sh", "-c", "tty; true");
    await shell.shows("not a tty");
    expect(await shell.exit).toBe(0);
    // Nor is what it writes the terminal's to obey.
    const shout = open("exec", "-T", id, "--", "printf", "a\\033]52;c;c2VjcmV0\\007b\\033[cc\\033[6nd");
    await shout.shows("abcd");
    expect(await shout.exit).toBe(0);
    expect(shout.raw()).not.toMatch(/\x1b\]52|c2VjcmV0|\x1b\[c|\x1b\[6n/);
    terminal.type("quit0\r");
    await terminal.exit;
  });
});

/** The attached command itself, and not what a shell or a PTY started it with. */
function isCommand(pid: number): boolean {
  return cli.commandOf(pid).includes(`${BOTTLE} start`);
}
