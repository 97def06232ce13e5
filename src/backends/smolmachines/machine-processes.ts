/**
 * A machine's processes, found without smolvm: when a start of its failed, or when its state is gone, no command of its
 * would end them (A.8, I9). They are nobody's children, so their arguments have to tell: smolvm runs each machine as
 * `smolvm _boot-vm <a file in the machine's folder>`, and whoever starts it has its name. Others on this host can give
 * themselves such arguments, and are passed over.
 */
import { codeOf } from "../../lib/errors.ts";
import { run } from "../../lib/processes.ts";
import type { StateFolder } from "./state-folder.ts";

const LIST_TIMEOUT_MS = 10_000;

export interface MachinePlace {
  readonly name: string;
  /** smolvm's state. */
  readonly folder: StateFolder;
}

/** Arguments: the two ways to the folder, the name. As a shell's function, for who outlives the keeper. */
export const LIST_BY_ARGUMENTS = `by_arguments() {
  me=$(id -u)
  ps -axww -o uid=,pid=,command= | while read -r uid pid command; do
    [ "$uid" = "$me" ] || continue
    case "$command " in
      *" _boot-vm $1/"* | *" _boot-vm $2/"* | *" machine start --name $3 "*) echo "$pid" ;;
    esac
  done
}
`;

export function placeWords({ name, folder }: MachinePlace): readonly [string, string, string] {
  return [folder.short, folder.path, name];
}

export async function machineProcesses(place: MachinePlace): Promise<readonly number[]> {
  const script = `${LIST_BY_ARGUMENTS}by_arguments "$@"`;
  const { stdout } = await run(["/bin/sh", "-c", script, "list", ...placeWords(place)], {
    timeoutMs: LIST_TIMEOUT_MS,
  });
  return stdout.toString("utf8").split("\n").filter(Boolean).map(Number);
}

/** Kills them, frozen ones too. */
export async function killMachine(place: MachinePlace): Promise<void> {
  for (const pid of await machineProcesses(place)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if (codeOf(error) !== "ESRCH") throw error;
    }
  }
}
