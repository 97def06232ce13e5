/**
 * A guest's memory as a file of the kernel's that has no name on any disk (memfd). A clone maps its template's privately:
 * what it writes is its own, and what it only reads it shares with every other clone that runs. Contract: before a clone's
 * first instruction the file is sealed, so that nobody, whatever he can open, writes to it, punches a hole
 * into it or maps it shared and writable, ever again; where it cannot be sealed there is no clone.
 *
 * QEMU opens what it maps for writing even where it will never write: that is why it is not given the template's own file.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readlinkSync } from "node:fs";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { makePrivateDir } from "../../lib/paths.ts";
import { isProcessAlive, ownProcessStart } from "../../lib/process-start.ts";
import { runOk } from "../../lib/processes.ts";
import type { Scope } from "../../lib/scope.ts";

export interface GuestMemory {
  /** Ours until the scope ends. */
  readonly fd: number;
  /** Resolves once all of it is there and sealed. */
  readonly ready: Promise<void>;
}

/** Copying takes 0.1 s a hundred megabytes; a machine that needs this long swaps. */
const COPY_TIMEOUT_MS = 120_000;

/** What perl does for us, for Node has no words for it. Numbers: memfd_create(2), by architecture; fcntl(2). */
const PERL = `use strict;
my %NUMBERS = (x64 => 319, arm64 => 279);
my ($arch, $what, $name, $path) = @ARGV;

sub make {
  my ($size) = @_;
  # MFD_ALLOW_SEALING with MFD_NOEXEC_SEAL, which kernels before 6.3 have not
  my $fd = -1;
  for my $flags (2 | 8, 2) {
    $fd = syscall $NUMBERS{$arch}, "$name", $flags;
    last if $fd >= 0;
  }
  $fd >= 0 or die "memfd_create: $!\\n";
  open my $memory, '+<&=', $fd or die "memfd: $!\\n";
  truncate $memory, $size or die "memfd: $!\\n";
  return $memory;
}

# Holes stay holes, and in a copy to a disk pages of zeros become some.
sub copy {
  my ($from, $to, $thin) = @_;
  my $zeros = "\\0" x 4096;
  my $at = 0;
  # SEEK_DATA, SEEK_HOLE
  while (defined($at = sysseek $from, $at, 3)) {
    my $end = sysseek $from, $at, 4;
    while ($at < $end) {
      sysseek $from, $at, 0;
      my $got = sysread $from, my $block, $end - $at < 1 << 20 ? $end - $at : 1 << 20;
      $got or die "read: $!\\n";
      put($to, $at, $block, $thin && $zeros);
      $at += $got;
    }
  }
  # ENXIO: nothing but a hole is left
  $! == 6 or die "seek: $!\\n";
}

sub put {
  my ($to, $at, $block, $zeros) = @_;
  my $step = $zeros ? length $zeros : length $block;
  for (my $done = 0; $done < length $block; $done += $step) {
    next if $zeros && $zeros eq substr $block, $done, $step;
    sysseek $to, $at + $done, 0;
    my $want = length $block < $done + $step ? length($block) - $done : $step;
    my $wrote = syswrite $to, $block, $want, $done;
    defined $wrote && $wrote == $want or die "write: $!\\n";
  }
}

sub file {
  open my $file, $_[0], $_[1] or die "$_[1]: $!\\n";
  return $file;
}

$| = 1;
if ($what eq 'new') {
  my $memory = make($path);
  print fileno $memory, "\\n";
  <STDIN>;
} elsif ($what eq 'fill') {
  my $from = file('<', $path);
  my $memory = make(-s $from);
  print fileno $memory, "\\n";
  copy($from, $memory, 0);
  # F_ADD_SEALS: SEAL, SHRINK, GROW, WRITE
  fcntl $memory, 1033, 1 | 2 | 4 | 8 or die "seal: $!\\n";
  print "sealed\\n";
  <STDIN>;
} elsif ($what eq 'save') {
  my $memory = file('<', $name);
  my $to = file('>', $path);
  truncate $to, -s $memory or die "$path: $!\\n";
  copy($memory, $to, 1);
}
`;

/** Memory for a machine that will be a template: all zero, and not sealed, for it maps this shared. */
export async function newMemory(bytes: number, scope: Scope): Promise<GuestMemory> {
  return startPerl("new", newName(), String(bytes), "r+", scope);
}

/** Writes what `memory` holds to `path`, which must not exist before; what is zero takes no room there. */
export async function saveMemory({ fd }: GuestMemory, path: string): Promise<void> {
  await runOk(["perl", "-e", PERL, process.arch, "save", `/proc/${process.pid}/fd/${fd}`, path], {
    timeoutMs: COPY_TIMEOUT_MS,
  });
}

/** A sealed copy of the file `path`: that of a bottle that runs, or else a new one. `heldBy`: where those are told of. */
export async function templateMemory(path: string, heldBy: string, scope: Scope): Promise<GuestMemory> {
  const others = await othersMemory(heldBy, scope);
  const name = others?.name ?? newName();
  const memory = others?.memory ?? (await startPerl("fill", name, path, "r", scope));
  const told = memory.ready.then(() => tellOthers(heldBy, name, memory.fd));
  told.catch(() => {});
  scope.defer("word of its memory", async () => {
    const record = await told.catch(() => undefined);
    if (record !== undefined) await rm(record, { force: true });
  });
  return memory;
}

/** Never given twice: a descriptor's number may be another file's by the time that somebody looks at it. */
function newName(): string {
  return `bottle-${randomBytes(12).toString("hex")}`;
}

async function startPerl(
  what: "new" | "fill",
  name: string,
  argument: string,
  mode: "r" | "r+",
  scope: Scope,
): Promise<GuestMemory> {
  const child = spawn("perl", ["-e", PERL, process.arch, what, name, argument], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const { stdin, stdout, stderr } = child;
  for (const stream of [stdin, stdout, stderr]) stream.on("error", () => {});
  let words = "";
  stderr.on("data", (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-200);
  });
  const gone = new Promise<never>((_, reject) => {
    child.once("error", reject);
    child.once("close", () => reject(new Error(`no memory for the guest: ${words.trim()}`)));
  });
  gone.catch(() => {});
  const timer = setTimeout(() => child.kill("SIGKILL"), COPY_TIMEOUT_MS);
  timer.unref();
  // It holds the memory until its stdin ends, by us or with us.
  const letGo = (): void => {
    clearTimeout(timer);
    stdin.destroy();
  };
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  const line = async (): Promise<string> => {
    const { done, value } = await Promise.race([lines.next(), gone]);
    return done === true ? gone : value;
  };
  try {
    const fd = openSync(`/proc/${child.pid}/fd/${Number(await line())}`, mode);
    scope.defer("memory", () => {
      letGo();
      closeSync(fd);
    });
    const ready = what === "new" ? Promise.resolve() : line().then(() => {});
    ready.then(letGo, letGo);
    return { fd, ready };
  } catch (error) {
    letGo();
    throw error;
  }
}

/** `<pid>.<start>.<descriptor>.<name>`, as the name of an empty file. */
const RECORD = /^(\d{1,10})\.([0-9a-f-]+)\.(\d{1,10})\.(bottle-[0-9a-f]{24})$/;

async function tellOthers(heldBy: string, name: string, fd: number): Promise<string> {
  const record = join(heldBy, `${process.pid}.${await ownProcessStart()}.${fd}.${name}`);
  await makePrivateDir(heldBy);
  await writeFile(record, "");
  return record;
}

async function othersMemory(
  heldBy: string,
  scope: Scope,
): Promise<{ readonly memory: GuestMemory; readonly name: string } | undefined> {
  for (const record of await readdir(heldBy).catch(() => [])) {
    const [, pid = "", start = "", fd = "", name = ""] = RECORD.exec(record) ?? [];
    const own = openIfThere(`/proc/${pid}/fd/${fd}`);
    // It was that process' if that process still lives, and that memory if it has its name: nobody else can give it.
    if (own !== undefined && isNamed(own, name) && (await isProcessAlive(Number(pid), start))) {
      scope.defer("memory", () => closeSync(own));
      return { memory: { fd: own, ready: Promise.resolve() }, name };
    }
    if (own !== undefined) closeSync(own);
    if (!(await isProcessAlive(Number(pid), start))) await rm(join(heldBy, record), { force: true });
  }
  return undefined;
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch {
    return undefined;
  }
}

function isNamed(fd: number, name: string): boolean {
  return readlinkSync(`/proc/self/fd/${fd}`) === `/memfd:${name} (deleted)`;
}
