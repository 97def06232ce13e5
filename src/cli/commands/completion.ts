/** `bottle completion`: scripts for three shells, made from the command line's own definition. */
import type { Command } from "commander";
import { UserError } from "../../lib/errors.ts";
import { print } from "../output.ts";

/** What the first argument of a command is, where it can be listed. Of a command below another: both names. */
const TAKES: Readonly<Record<string, readonly string[]>> = {
  id: [
    ...[
      "attach",
      "exec",
      "logs",
      "stop",
      "diff",
      "pull",
      "rm",
      "resume",
      "freeze",
      "thaw",
      "commit",
      "fork",
      "port",
    ],
    ...["git log", "audit verify", "audit report"],
  ],
  agent: ["start", "info", "edit", "egress test"],
  image: ["image build", "image inspect"],
  ticket: ["inbox show", "inbox approve", "inbox edit", "inbox deny", "inbox revoke"],
};
const LISTED: Readonly<Record<string, string>> = {
  id: "bottle list 2>/dev/null | awk 'NR>1{print $1}'",
  agent: "bottle list --agents 2>/dev/null | awk 'NR>1{print $1}'",
  image: "bottle image list 2>/dev/null | awk 'NR>1{print $2}'",
  ticket: "bottle inbox 2>/dev/null | awk '$1 ~ /^[0-9a-f]+$/{print $1}'",
};

/** bashcompinit stands on compinit, which a plain zsh has not run; whoever has keeps it as it is. */
const ZSH = `(( $+functions[compdef] )) || { autoload -U compinit && compinit }
autoload -U +X bashcompinit && bashcompinit`;

interface Known {
  /** `inbox`, or `inbox show`. */
  readonly name: string;
  readonly description: string;
  readonly options: readonly string[];
  readonly below: readonly string[];
}

export async function completion(shell: string, program: Command): Promise<number> {
  const commands = program.commands.flatMap((command) => [
    known(command, command.name()),
    ...command.commands.map((below) => known(below, `${command.name()} ${below.name()}`)),
  ]);
  switch (shell) {
    case "bash":
      print(bash(commands));
      return 0;
    case "zsh":
      print(`${ZSH}\n${bash(commands)}`);
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

function known(command: Command, name: string): Known {
  return {
    name,
    description: command.description(),
    options: command.options.flatMap(({ long }) => long ?? []),
    below: command.commands.map((below) => below.name()),
  };
}

function bash(commands: readonly Known[]): string {
  const first = commands.filter(({ name }) => !name.includes(" ")).map(({ name }) => name);
  const cases = commands.map(
    ({ name, options, below }) => `    "${name}") words="${[...below, ...options].join(" ")}" ;;`,
  );
  const above = commands.filter(({ below }) => below.length > 0).map(({ name }) => name);
  const listed = Object.entries(TAKES).map(
    ([what, names]) =>
      `    ${names.map((name) => `"${name}"`).join("|")}) words="$words $(${LISTED[what] ?? ""})" ;;`,
  );
  return `_bottle() {
  local word="\${COMP_WORDS[COMP_CWORD]}" command="\${COMP_WORDS[1]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${first.join(" ")}" -- "$word"))
    return
  fi
  case "$command" in
    ${above.join("|")}) [ "$COMP_CWORD" -gt 2 ] && command="$command \${COMP_WORDS[2]}" ;;
  esac
  case "$command" in
${cases.join("\n")}
  esac
  case "$command" in
${listed.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _bottle bottle bot-bottle`;
}

function fish(commands: readonly Known[]): string {
  const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  /** True once each word of the name was typed. */
  const seen = (name: string): string =>
    name
      .split(" ")
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join("; and ");
  const lines = commands.flatMap(({ name, description, options }) => {
    const [first = "", second] = name.split(" ");
    const offered =
      second === undefined
        ? `complete -c bottle -n __fish_use_subcommand -f -a ${first} -d ${quote(description)}`
        : `complete -c bottle -n '${seen(first)}' -f -a ${second} -d ${quote(description)}`;
    return [
      offered,
      ...options.map((option) => `complete -c bottle -n '${seen(name)}' -l ${option.slice(2)}`),
    ];
  });
  const listed = Object.entries(TAKES).flatMap(([what, names]) =>
    names.map((name) => `complete -c bottle -n '${seen(name)}' -f -a ${quote(`(${LISTED[what] ?? ""})`)}`),
  );
  return [...lines, ...listed].join("\n");
}
