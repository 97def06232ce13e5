/** The command line: what there is and what it takes. What a command does is loaded when it is asked for. */
import { resolve } from "node:path";
import { Command, CommanderError, Option } from "commander";
import { codeOf } from "../lib/errors.ts";
import { packageVersion } from "../lib/package-root.ts";
import { addImageCommands } from "./image-commands.ts";
import { type Action, addInboxCommands } from "./inbox-commands.ts";
import { refuseSharedHome } from "./operator-home.ts";
import { report } from "./output.ts";

/** @returns the exit code: 0, what a command's contract says, 1 for a UserError, 2 for wrong usage. */
export async function runProgram(argv: readonly string[]): Promise<number> {
  let code = 0;
  // A keeper runs elsewhere: to it, what is relative to here would be another folder.
  for (const name of ["BOT_BOTTLE_HOME", "BOT_BOTTLE_CACHE"]) {
    const path = process.env[name];
    if (path !== undefined && path !== "") process.env[name] = resolve(path);
  }
  // Whoever reads us may stop reading: `bottle list | head -1`. What is left to say is then said to nobody.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error) => {
      if (codeOf(error) === "EPIPE") return;
      const failed = report(error);
      process.once("exit", () => {
        process.exitCode = failed;
      });
    });
  }
  /** Wraps a lazily loaded command; commander's last value is the command itself, which nobody needs. */
  const act =
    (load: () => Promise<Action>) =>
    async (...values: unknown[]): Promise<void> => {
      const command = values.at(-1);
      if (command instanceof Command && !WITHOUT_HOME.has(command.name())) refuseSharedHome();
      const run = (await load()) as (...values: unknown[]) => Promise<number>;
      code = await run(...values.slice(0, -1));
    };

  const program = new Command("bottle")
    .description("Run a coding agent unattended in a disposable bottle whose only way out is inspected.")
    .version(packageVersion(), "-V, --version")
    .exitOverride()
    .showHelpAfterError("(bottle help <command> tells more)")
    .enablePositionalOptions()
    .addHelpText("after", EXAMPLES);
  const json = (): Option => new Option("--json", "print data as JSON");

  program
    .command("start [agent]")
    .description("launch an agent in a new bottle, after showing what it may do")
    .option("-y, --yes", "do not ask before launching")
    .option("--dry-run", "show the plan and create nothing at all")
    .addOption(json())
    .option("--backend <name>", "what isolates the guest (bottle doctor lists them)")
    .option(
      "--image <image>",
      "the guest's system: debian:12, oci:…, docker-archive:…, dir:… (bottle image --help)",
    )
    .option("-d, --detach", "leave the agent running and return")
    .option("--label <text>", "name the bottle after this instead of the agent")
    .option("--cwd [dir]", "copy this folder (default: the current one) in as the workspace")
    .option(
      "-p, --prompt <text>",
      "give the agent this one task, headless and without asking first: its output and exit code are ours",
    )
    .addHelpText(
      "after",
      `
Examples:
  bottle start claude --cwd                          an interactive session on a copy of this folder
  bottle start claude --cwd -p "fix the failing test" one task; the exit code is the agent's
  bottle start researcher --dry-run --json           the plan, as data
  bottle start claude --cwd --detach --yes           in the background; bottle attach <id> joins it`,
    )
    .action(act(async () => (await import("./commands/start.ts")).start));

  program
    .command("resume <id>")
    .description("start a kept bottle again: same workspace, same session where the agent has one")
    .option("-y, --yes", "do not ask before launching")
    .option("-d, --detach", "leave the agent running and return")
    .option("-p, --prompt <text>", "give it this one task, headless and without asking first")
    .option("--with <what>", "what its environment lacked (repeatable): see below", collect)
    .addHelpText(
      "after",
      `
--with env:NAME            a variable, from your environment or else asked for
--with mount:FROM:TO       a folder or file of this host, read-only
--with manifest            everything as the agent's and bottle's files say it by now

Examples:
  bottle resume claude-k3x9p --with env:STAGE              the agent goes on where it was, and has STAGE
  bottle resume claude-k3x9p --with mount:~/data:/mnt/data`,
    )
    .action(act(async () => (await import("./commands/resume.ts")).resume));

  program
    .command("list")
    .alias("ls")
    .description("bottles, running and kept; with --agents the agents there are")
    .option("-a, --agents", "list agents instead")
    .addOption(json())
    .action(act(async () => (await import("./commands/list.ts")).list));

  program
    .command("attach <id>")
    .description("join a running agent's terminal; Ctrl-] leaves it running")
    .action(act(async () => (await import("./commands/attach.ts")).attach));

  program
    .command("exec <id> [command...]")
    .description("run a command in a running bottle: bottle exec <id> -- npm test")
    .option("--cwd <dir>", "folder in the bottle (default: the agent's home)")
    .option("-T, --no-tty", "no terminal even if there is one")
    .option("-e, --env <name=value>", "add to its environment (repeatable)", collect)
    .passThroughOptions()
    .action(act(async () => (await import("./commands/exec.ts")).exec));

  program
    .command("logs <id>")
    .description("what the agent printed")
    .option("-f, --follow", "go on as it prints more")
    .action(act(async () => (await import("./commands/logs.ts")).logs));

  program
    .command("stop <ids...>")
    .description("end running bottles; work that was not taken out is kept")
    .action(act(async () => (await import("./commands/stop.ts")).stop));

  program
    .command("cp <from> <to>")
    .description("copy a file or folder: bottle cp <id>:<path> <here>, or bottle cp <here> <id>:<path>")
    .action(act(async () => (await import("./commands/cp.ts")).cp));

  program
    .command("port <id> <port>")
    .description("open a server that the agent started, on this host's loopback: bottle port <id> 3000")
    .addOption(json())
    .addHelpText(
      "after",
      `
It stays open until Ctrl-C, or the bottle's end. Whoever is on this host can connect; what answers is the agent's.

Examples:
  bottle port claude-k3x9p 3000          127.0.0.1:3000 is the agent's port 3000
  bottle port claude-k3x9p 8080:3000     127.0.0.1:8080 is
  bottle port claude-k3x9p 0:3000        any port that is free here, which it prints`,
    )
    .action(act(async () => (await import("./commands/port.ts")).port));

  program
    .command("diff <id>")
    .description("what the agent changed, uncommitted work included")
    .option("--stat", "only which files, and how much")
    .action(act(async () => (await import("./commands/diff.ts")).diff));

  program
    .command("pull <id>")
    .description("fetch the agent's work into this repository, as refs/bottles/<id>/*")
    .addOption(json())
    .action(act(async () => (await import("./commands/pull.ts")).pull));

  program
    .command("commit <id> [name]")
    .description("keep a bottle's disk as an image, without what was provisioned")
    .addHelpText(
      "after",
      `
Examples:
  bottle commit claude-k3x9p ready       the image kept:ready, for bottles that begin where this one is
  bottle start claude --image kept:ready`,
    )
    .action(act(async () => (await import("./commands/commit.ts")).commit));

  program
    .command("fork <id> [count]")
    .description("start copies of a bottle from where it is; each is a bottle of its own")
    .option("-y, --yes", "do not ask before launching")
    .option("-p, --prompt <text>", "give each of them this one task, headless")
    .addHelpText(
      "after",
      `
Examples:
  bottle fork claude-k3x9p 3 --yes --prompt "try another way"
  bottle fork claude-k3x9p --yes         one copy, its agent running detached`,
    )
    .action(act(async () => (await import("./commands/fork.ts")).fork));

  program
    .command("rm <ids...>")
    .description("remove kept bottles and their work; the log stays")
    .option("-f, --force", "also work that was not taken out, without asking; also running bottles")
    .action(act(async () => (await import("./commands/rm.ts")).rm));

  program
    .command("cleanup")
    .description("remove what crashed bottles left behind; running ones, kept work and logs stay")
    .option("--dry-run", "only list it")
    .option("-y, --yes", "do not ask")
    .addOption(json())
    .action(act(async () => (await import("./commands/cleanup.ts")).cleanup));

  program
    .command("info <agent>")
    .description("what an agent is and may do, without launching it")
    .addOption(json())
    .action(act(async () => (await import("./commands/info.ts")).info));

  program
    .command("edit <agent>")
    .description("open an agent's file in $EDITOR and check it afterwards")
    .action(act(async () => (await import("./commands/edit.ts")).edit));

  program
    .command("schema [kind]")
    .description("JSON Schema of a manifest's front matter: bottle, agent, or both")
    .action(act(async () => (await import("./commands/schema.ts")).schema));

  program
    .command("doctor")
    .description("what this host can do, what is missing, and the command that adds it")
    .option("--deep", "also try to get out of a bottle, as bottle attack does")
    .addOption(json())
    .action(act(async () => (await import("./commands/doctor.ts")).doctor));

  program
    .command("attack")
    .description("try to get out of a real bottle in every known way, and show what came of each")
    .option("--backend <name>", "of this backend, or all (default: the one that bottles get here)")
    .option("--only <what>", "only this probe, group or invariant (repeatable)", collect)
    .option("--list", "say what would be tried, and try nothing")
    .addOption(json())
    .option("--junit", "print JUnit's XML")
    .addHelpText(
      "after",
      `
Needs no network, no root and no key: secrets are planted, upstreams are on this machine, and whoever must not be reached is
played by impostors in a network without a way out. docs/security.md lists the probes and what they stand for.
Exits 0 when every probe was tried and held, 130 when it was interrupted, and 3 otherwise.

Examples:
  bottle attack                                 the backend that a bottle would get here
  bottle attack --backend all --junit >out.xml  every backend of this host, for continuous integration
  bottle attack --only I1 --only pushes         what can be reached, and what can be pushed
  bottle attack --list --only files             what is tried with files`,
    )
    .action(act(async () => (await import("./commands/attack.ts")).attack));

  addImageCommands(program, { act, json });
  addInboxCommands(program, { act, json });

  const egress = program.command("egress").description("what a bottle's agent may reach over HTTP");
  egress
    .command("test <agent> <url>")
    .description("would this request be let through, and by which rule? nothing is sent or resolved")
    .option("-X, --method <method>", "its method", "GET")
    .option("-H, --header <name: value>", "one of its headers (repeatable)", collect)
    .addOption(json())
    .addHelpText(
      "after",
      `
Exits 0 for a request that is allowed and 3 for one that is denied.

Examples:
  bottle egress test claude https://api.example.com/v1/things
  bottle egress test claude https://api.example.com/v1/things --method POST --header 'accept: text/html'`,
    )
    .action(act(async () => (await import("./commands/egress-test.ts")).egressTest));

  const git = program.command("git").description("the repositories behind git-gate");
  git
    .command("log <id>")
    .description("what the agent pushed, what was refused and why; of running and ended bottles")
    .addOption(json())
    .action(act(async () => (await import("./commands/git-log.ts")).gitLog));

  const audit = program.command("audit").description("the log of a bottle's decisions");
  audit
    .command("verify <id>")
    .description("find any changed, removed, reordered or cut line")
    .option("--head <hash>", "also hold it to a head that was kept elsewhere, which it must still contain")
    .addOption(json())
    .addHelpText(
      "after",
      `
A log cut back to an earlier orderly end looks like one that ended there. Keep the head it prints where nobody can change it.
Exits 0 for a log as it was written, 1 for another (or without that head), 3 for one without an end.

Examples:
  bottle audit verify claude-k3x9p
  bottle audit verify claude-k3x9p --head "$(cat kept/claude-k3x9p.head)"`,
    )
    .action(act(async () => (await import("./commands/audit-verify.ts")).auditVerify));

  audit
    .command("report <id>")
    .description("one page on what the agent did, reached, was refused, asked for, was given and pushed")
    .option("--html", "one HTML file that needs nothing else, instead of Markdown")
    .option("-o, --output <file>", "write it there instead of printing it")
    .addHelpText(
      "after",
      `
Examples:
  bottle audit report claude-k3x9p | less
  bottle audit report claude-k3x9p --html -o report.html`,
    )
    .action(act(async () => (await import("./commands/audit-report.ts")).auditReport));

  program
    .command("demo")
    .description("run a real agent in a real bottle against local stand-ins, and show what it could not do")
    .addOption(json())
    .option("--backend <name>", "what isolates the guest (default: namespace on Linux)")
    .action(act(async () => (await import("./commands/demo.ts")).demo));

  program
    .command("completion <shell>")
    .description("print a completion script: bash, zsh or fish")
    .addHelpText(
      "after",
      `
Examples:
  source <(bottle completion bash)       in ~/.bashrc; with zsh likewise, in ~/.zshrc
  bottle completion fish | source        in ~/.config/fish/config.fish`,
    )
    .action(
      act(async () => {
        const { completion } = await import("./commands/completion.ts");
        return (shell: string) => completion(shell, program);
      }),
    );

  try {
    await program.parseAsync([...argv]);
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return report(error);
  }
}

/** They neither trust nor touch what lies in the operator's home; doctor says what is wrong with it. */
const WITHOUT_HOME: ReadonlySet<string> = new Set(["doctor", "schema", "completion", "demo", "attack"]);

function collect(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value];
}

const EXAMPLES = `
Examples:
  bottle doctor                      what this host can do
  bottle start claude --cwd          Claude Code on a copy of the current folder
  bottle list                        what is running and what was kept
  bottle inbox                       what agents ask for; approve or deny it
  bottle pull <id>                   take its work, as refs/bottles/<id>/*
  bottle demo                        see it work, without a key or a network`;
