/** `bottle exec`: a command beside the agent, with its streams and its exit code. */
import { connectKeeper } from "../../keeper/control-client.ts";
import { UserError } from "../../lib/errors.ts";
import { catchInterrupts, exitCodeOf, joinExec, onTerminal, terminalSize } from "../attach.ts";
import { tell } from "../output.ts";

export interface ExecFlags {
  readonly cwd?: string;
  readonly tty: boolean;
  readonly env?: readonly string[];
}

export async function exec(id: string, command: readonly string[], flags: ExecFlags): Promise<number> {
  const argv = command[0] === "--" ? command.slice(1) : command;
  if (argv.length === 0)
    throw new UserError("which command?", { hint: `bottle exec ${id} -- bash`, exitCode: 2 });
  if (argv === command && argv[0]?.startsWith("-")) {
    throw new UserError(`${argv[0]} comes after the id, where the command is`, {
      hint: `bottle exec ${argv[0]} … ${id} -- <command>`,
      exitCode: 2,
    });
  }
  const keeper = await connectKeeper(id);
  const interrupts = catchInterrupts();
  try {
    const size = flags.tty && onTerminal() ? terminalSize() : undefined;
    const session = await keeper.session(
      { op: "exec", argv, env: parseEnv(flags.env), ...(flags.cwd !== undefined && { cwd: flags.cwd }) },
      size,
    );
    const outcome = await joinExec(session, size, interrupts);
    if (outcome.kind === "detached") return 0;
    if (outcome.exit.kind === "lost") tell(`lost: ${outcome.exit.reason}`);
    return exitCodeOf(outcome.exit);
  } finally {
    interrupts.stop();
  }
}

function parseEnv(pairs: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(pair) ?? [];
      if (name === undefined || value === undefined)
        throw new UserError(`--env wants name=value, not ${pair}`, { exitCode: 2 });
      return [name, value];
    }),
  );
}
