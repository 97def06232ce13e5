/**
 * A program that ends with whoever started it, however that ends (I9): a shell between the two holds the starter's pipe,
 * and kills the program once nobody does at its other end. Linux has a signal for that; this is for every system.
 */

/** Its stdin is that pipe, and the program's is empty. Ends with the program, and as it did. */
const TETHER = `exec 3<&0
"$@" </dev/null 3<&- &
program=$!
{ cat <&3 >/dev/null; kill -KILL "$program"; } 2>/dev/null &
watch=$!
exec 3<&-
wait "$program"
code=$?
kill "$watch"
exit "$code"
`;

/** To be started with a pipe as its stdin, which the starter keeps and never writes to. */
export function tethered(argv: readonly string[]): readonly [string, ...string[]] {
  return ["/bin/sh", "-c", TETHER, "tethered", ...argv];
}
