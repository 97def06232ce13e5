/**
 * Runs on a terminal, as an operator's command does: lets a guest type into every terminal that it can find, by the
 * call that needs no permission on old kernels, and reports whether anything arrived here.
 */
import { writeFileSync } from "node:fs";
import { namespaceBackend } from "../../../../src/backends/namespace/backend.ts";
import { run } from "../../../../src/lib/processes.ts";
import { finish, runIn, sh, startBottle } from "../../../support/bottle-guest.ts";

export interface TerminalReport {
  /** What came from this terminal's keyboard: while a child of ours typed, and while the guest did. */
  readonly control: string;
  readonly guest: string;
  /** What became of the guest's attempts, by descriptor or file. */
  readonly attempts: string;
  /** Device of the guest's terminal and of this one. */
  readonly devices: { readonly guest: string; readonly operator: string };
}

const [resultFile = "", perl = ""] = process.argv.slice(2);
const TYPE = `
for my $at (@ARGV[1 .. $#ARGV]) {
  open(my $fd, $at =~ /^\\d/ ? "<&=" : "+<", $at) or next;
  my $typed = 0;
  for my $c (split //, $ARGV[0]) { my $b = $c; $typed++ if ioctl($fd, 0x5412, $b) }
  print "$at $typed;" if $at =~ /^\\d/ || $typed;
}`;

let typed = "";
process.stdin.setRawMode(true);
process.stdin.on("data", (chunk: Buffer) => {
  typed += chunk.toString();
});
const settled = (): Promise<string> =>
  new Promise((resolve) => {
    setTimeout(() => {
      resolve(typed);
      typed = "";
    }, 200);
  });

const { spawnSync } = await import("node:child_process");
// Not everywhere: outside, root would be typing on everybody's terminal.
spawnSync(perl, ["-e", TYPE, "control", "0"], { stdio: ["inherit", "ignore", "ignore"] });
const control = await settled();

const bottle = await startBottle(namespaceBackend);
const { guest } = bottle;
const typeEverywhere = (text: string): [string, ...string[]] =>
  [
    ...["sh", "-c", 'exec "$0" "$@" 0 1 2 /dev/tty /dev/console /dev/pts/* /proc/[0-9]*/fd/0'],
    ...[perl, "-e", TYPE, text],
  ] as [string, ...string[]];
const attempts = [
  await runIn(guest, typeEverywhere("piped")),
  await finish(await guest.exec(typeEverywhere("on a terminal"), { tty: { cols: 80, rows: 24 } })),
].map(({ stdout }) => stdout.toString());
const reached = await settled();
const onTerminal = await finish(
  await guest.exec(["stat", "-c", "%d:%i", "/dev/pts/0"], { tty: { cols: 80, rows: 24 } }),
);
const report: TerminalReport = {
  control,
  guest: reached,
  attempts: attempts.join(" | "),
  devices: {
    guest: onTerminal.stdout.toString().trim(),
    operator: (
      await run(["sh", "-c", "stat -Lc %d:%i /proc/self/fd/9 9<$(readlink /proc/$PPID/fd/0)"])
    ).stdout
      .toString()
      .trim(),
  },
};
await sh(guest, "true");
await bottle.close();
writeFileSync(resultFile, JSON.stringify(report));
process.exit(0);
