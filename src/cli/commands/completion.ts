/** `bottle completion`: scripts for three shells, made from the command line's own definition. */
import type { Command } from "commander";
import { UserError } from "../../lib/errors.ts";
import { print } from "../output.ts";

/** Commands whose arguments are ids of bottles, and those that take an agent. */
const TAKES_ID = ["attach", "exec", "logs", "stop", "diff", "pull", "rm", "resume"];
const TAKES_AGENT = ["start", "info", "edit"];

export async function completion(shell: string, program: Command): Promise<number> {
  const commands = program.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    options: command.options.flatMap(({ long }) => long ?? []),
  }));
  switch (shell) {
    case "bash":
      print(bash(commands));
      return 0;
    case "zsh":
      print(`autoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`);
      return 0;
    case "fish":
      print(fish(commands));
      return 0;
    default:
      throw new UserError(`no completion for ${shell}`, {
        hint: "bottle completion bash, zsh or fish",
        exitCode: 2,
      });
  }
}

type Commands = readonly { name: string; description: string; options: readonly string[] }[];

const LIST_IDS = "bottle list 2>/dev/null | awk 'NR>1{print $1}'";
const LIST_AGENTS = "bottle list --agents 2>/dev/null | awk 'NR>1{print $1}'";

function bash(commands: Commands): string {
  const cases = commands.map(({ name, options }) => `    ${name}) words="${options.join(" ")}" ;;`);
  return `_bottle() {
  local word="\${COMP_WORDS[COMP_CWORD]}" command="\${COMP_WORDS[1]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(" ")}" -- "$word"))
    return
  fi
  case "$command" in
${cases.join("\n")}
  esac
  case "$command" in
    ${TAKES_ID.join("|")}) words="$words $(${LIST_IDS})" ;;
    ${TAKES_AGENT.join("|")}) words="$words $(${LIST_AGENTS})" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _bottle bottle bot-bottle`;
}

function fish(commands: Commands): string {
  const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = commands.flatMap(({ name, description, options }) => [
    `complete -c bottle -n __fish_use_subcommand -f -a ${name} -d ${quote(description)}`,
    ...options.map(
      (option) => `complete -c bottle -n '__fish_seen_subcommand_from ${name}' -l ${option.slice(2)}`,
    ),
  ]);
  return [
    ...lines,
    `complete -c bottle -n '__fish_seen_subcommand_from ${TAKES_ID.join(" ")}' -f -a '(bottle list 2>/dev/null | awk "NR>1{print \\$1}")'`,
    `complete -c bottle -n '__fish_seen_subcommand_from ${TAKES_AGENT.join(" ")}' -f -a '(bottle list --agents 2>/dev/null | awk "NR>1{print \\$1}")'`,
  ].join("\n");
}
