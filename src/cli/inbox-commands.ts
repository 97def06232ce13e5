/** The command line of what the operator decides while bottles run. */
import type { Command, Option } from "commander";

/** A command's own code: its values in, the process's exit code out. */
export type Action = (...values: never[]) => Promise<number>;

/** What commands are declared with. */
export interface Declaring {
  readonly act: (load: () => Promise<Action>) => (...values: unknown[]) => Promise<void>;
  readonly json: () => Option;
}

export function addInboxCommands(program: Command, { act, json }: Declaring): void {
  const inbox = program
    .command("inbox")
    .description("what agents ask for, in all running bottles; and what was given")
    .option("-w, --watch", "a screen of it that stays; with --json a line at every change")
    .option("--once", "look once and end (the default)")
    .addOption(json())
    .addHelpText(
      "after",
      `
Exits 3 when something waits, 0 when nothing does, 1 when a bottle did not say.
A ticket may be cut to as much of its beginning as no other has.

Examples:
  bottle inbox                               what waits, and what was given
  bottle inbox --watch                       decide on a screen: a approves, d denies, ? tells more
  bottle inbox show 3f9c                     all of one: what it would newly allow
  bottle inbox approve 3f9c --for 2h         after showing it and asking
  bottle inbox || notify-send "an agent asks"  for scripts`,
    )
    .action(act(async () => (await import("./commands/inbox.ts")).inbox));

  inbox
    .command("show <ticket>")
    .description("a request, push or grant, whole, with the digest of what an approval would allow")
    .addOption(json())
    .action(act(async () => (await import("./commands/inbox-show.ts")).inboxShow));

  withLifetime(inbox.command("approve <ticket>").description("let it, for an hour unless you say otherwise"))
    .option("-y, --yes", "do not ask; needs --digest")
    .option("--digest <sha256>", "approve only if this is still what it would allow")
    .addHelpText(
      "after",
      `
Examples:
  bottle inbox approve 3f9c                  for an hour
  bottle inbox approve 3f9c --once           for one request
  bottle inbox approve 3f9c --session --bytes 10M
  bottle inbox approve 3f9c --always         and write it into the bottle's manifest
  bottle inbox approve 3f9c --yes --digest "$(bottle inbox show 3f9c --json | jq -r .pending.digest)"`,
    )
    .action(act(async () => (await import("./commands/inbox-approve.ts")).inboxApprove));

  withLifetime(
    inbox.command("edit <ticket>").description("change in $EDITOR what is asked for, then approve that"),
  ).action(act(async () => (await import("./commands/inbox-edit.ts")).inboxEdit));

  inbox
    .command("deny <ticket>")
    .description("say no; the agent is told why")
    .option("--reason <text>", "why")
    .action(act(async () => (await import("./commands/inbox-deny.ts")).inboxDeny));

  inbox
    .command("revoke <ticket>")
    .description("take a grant back at once, with the connections that hang on it")
    .option("--reason <text>", "why; the agent is told")
    .action(act(async () => (await import("./commands/inbox-revoke.ts")).inboxRevoke));

  program
    .command("freeze <id>")
    .description("let nothing out of a running bottle, from now on")
    .option("--reason <text>", "why, for the log")
    .action(act(async () => (await import("./commands/freeze.ts")).freeze));

  program
    .command("thaw <id>")
    .description("end a freeze")
    .action(act(async () => (await import("./commands/freeze.ts")).thaw));
}

function withLifetime(command: Command): Command {
  return command
    .option("--once", "for one request or push")
    .option("--for <time>", "for 90s, 30m, 2h, 1d (default 1h)")
    .option("--session", "as long as the bottle lives, also when it is resumed; revoke ends it")
    .option("--always", "the same, and in its manifest from now on")
    .option("--bytes <size>", "for as many bytes of body, both ways: 64K, 10M")
    .option("--reason <text>", "why, for the log; the agent is told");
}
