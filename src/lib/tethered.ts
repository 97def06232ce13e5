/**
 * A program that ends with whoever started it, however that ends (I9): a shell between the two holds the starter's pipe,
 * and kills the program once nobody does at its other end. Linux has a signal for that; this is for every system.
 */

/**
 * Arguments: the number of the pipe, the mark, the program's words. What was killed starts nobody any more, but what it has
 * just started may be about to: so it is looked for more than once, and the shell's end does not end the search. Without
 * a mark nobody is looked for: every process would have it.
 */
const TETHER = `pipe=$1
mark=$2
shift 2
exec 3<&"$pipe"
"$@" </dev/null 3<&- &
program=$!
{
  cat <&3
  trap "" TERM
  kill -KILL "$program"
  for turn in \${mark:+1 2 3}; do
    for file in $(grep -lsaF -- "$mark" /proc/[0-9]*/environ); do
      each=\${file#/proc/}
      kill -KILL "\${each%/environ}"
    done
  done
} >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$program"
code=$?
kill "$watch"
exit "$code"
`;

export interface TetherOptions {
  /** Descriptor of the pipe, which the starter keeps and never writes to: 0 or 3. */
  readonly pipe?: number;
  /**
   * Words of the environment of whatever it starts, and of nobody else's: those end with it too, where the system
   * shows environments (Linux).
   */
  readonly mark?: string;
}

/** The program's stdin is empty. Ends with the program, and as it did. */
export function tethered(
  argv: readonly string[],
  { pipe = 0, mark = "" }: TetherOptions = {},
): readonly [string, ...string[]] {
  return ["/bin/sh", "-c", TETHER, "tethered", String(pipe), mark, ...argv];
}
