/** A micro-VM with nothing around it: no jail, no disk, no SSH. What a start, a program and a byte cost by themselves. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packCpio } from "../src/backends/qemu/cpio.ts";
import { qemuArgv } from "../src/backends/qemu/machine.ts";
import type { PreparedMachine } from "../src/backends/qemu/prepare-machine.ts";

type Spec = PreparedMachine["spec"];

export interface BareMachine {
  /** The host's end of its port, on which it has said its first word. */
  readonly port: Socket;
  readonly hello: Buffer;
  end(): Promise<void>;
}

/** @returns once its first process has said a word. */
export async function bareBoot(spec: Spec): Promise<BareMachine> {
  const folder = mkdtempSync(join(tmpdir(), "bbv-"));
  const path = join(folder, "link");
  const [command = "", ...args] = withoutMonitor(
    qemuArgv({ ...spec, portFd: 0, monitorFd: 0, disks: ["none", "none"] }),
  ).map((word) =>
    word.startsWith("socket,id=link") ? `socket,id=link,path=${path},server=on,wait=off` : word,
  );
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  const [port, hello] = await firstWord(child, path);
  return { port, hello, end: () => endOf(child, port, folder) };
}

/** Two words of its own, and what comes before each. */
function withoutMonitor(argv: readonly string[]): readonly string[] {
  const isOfMonitor = (word: string | undefined): boolean =>
    word?.startsWith("socket,id=monitor") === true || word?.startsWith("chardev=monitor") === true;
  return argv.filter((word, i) => !isOfMonitor(word) && !isOfMonitor(argv[i + 1]));
}

function firstWord(child: ChildProcess, path: string): Promise<readonly [Socket, Buffer]> {
  return new Promise((resolve, reject) => {
    const end = (reason: Error | string): void => {
      reject(new Error(`the bare machine ended before its first word: ${reason}`));
    };
    child.once("error", end);
    child.once("exit", (code, signal) => end(`${signal ?? code}`));
    const dial = (): void => {
      const socket = connect(path);
      socket.on("error", () => {
        if (child.exitCode === null && child.signalCode === null) setTimeout(dial, 5);
      });
      socket.once("data", (hello: Buffer) => {
        socket.pause();
        resolve([socket, hello]);
      });
    };
    dial();
  });
}

async function endOf(child: ChildProcess, port: Socket, folder: string): Promise<void> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  port.removeAllListeners("error").on("error", () => {});
  port.destroy();
  child.kill("SIGKILL");
  await gone;
  rmSync(folder, { recursive: true, force: true });
}

/**
 * In place of a guest's own first program: frames of a letter, a length and bytes. `e` runs a program (argv, with zeros
 * between), `i` is its input and `c` the end of that; back come `o` for output and `x` at its end. `p` is answered.
 */
const FRAMES = `#!/usr/bin/perl
require '/bottle/system.pl';
mount_at('sysfs', '/sys', 'sysfs', '');
mount_at('devtmpfs', '/dev', 'devtmpfs', '');
open my $list, '<', '/bottle/modules/first';
for my $name (<$list>) {
  chomp $name;
  open my $file, '<', "/bottle/modules/$name";
  call('finit_module', fileno($file) + 0, '', 0);
}
my $port;
until (open $port, '+<', '/dev/vport0p1') { select undef, undef, undef, 0.01; }
sub told { my ($kind, $bytes) = @_; my $frame = pack('a N', $kind, length $bytes) . $bytes; my $at = 0;
  while ($at < length $frame) { my $wrote = syswrite $port, $frame, length($frame) - $at, $at; $at += $wrote if $wrote; } }
my $text = '';
sub heard {
  while (1) {
    if (length $text >= 5) {
      my ($kind, $length) = unpack 'a N', $text;
      if (length $text >= 5 + $length) { my $bytes = substr $text, 5, $length; substr($text, 0, 5 + $length) = ''; return ($kind, $bytes); }
    }
    sysread $port, $text, 1 << 18, length $text or select undef, undef, undef, 0.002;
  }
}
sub is_whole { return 0 if length $text < 5; my (undef, $length) = unpack 'a N', $text; return length $text >= 5 + $length; }
told('h', '');
while (1) {
  my ($kind, $bytes) = heard();
  if ($kind eq 'p') { told('p', ''); next; }
  next unless $kind eq 'e';
  pipe my $out, my $to_us; pipe my $from_us, my $in;
  my $pid = fork;
  if (!$pid) {
    open STDIN, '<&', $from_us; open STDOUT, '>&', $to_us; close $_ for $in, $out, $port, $to_us, $from_us;
    my @words = split /\\0/, $bytes; exec { $words[0] } @words; exit 127;
  }
  close $to_us; close $from_us;
  while (1) {
    if ($in && is_whole()) {
      my ($what, $input) = heard();
      if ($what eq 'c') { close $in; undef $in; } else { my $at = 0; while ($at < length $input) { my $wrote = syswrite $in, $input, length($input) - $at, $at; last unless $wrote; $at += $wrote; } }
      next;
    }
    my $ready = ''; vec($ready, fileno $out, 1) = 1; vec($ready, fileno $port, 1) = 1 if $in;
    select $ready, undef, undef, undef;
    if (vec $ready, fileno $out, 1) { sysread $out, my $chunk, 1 << 16 or last; told('o', $chunk); }
    elsif ($in) { sysread $port, $text, 1 << 18, length $text; }
  }
  waitpid $pid, 0;
  told('x', pack 'N', $? >> 8);
}
`;

export interface FramedGuest {
  ping(): Promise<void>;
  /** @returns how many bytes it said. @throws Error for another code than 0. */
  run(argv: readonly string[], input?: Buffer): Promise<number>;
  end(): Promise<void>;
}

const FRAME_BYTES = 64 * 1024;

/** The same kernel, modules and perl as a bottle's, and another first program. */
export async function framedGuest(spec: Spec): Promise<FramedGuest> {
  const folder = mkdtempSync(join(tmpdir(), "bbv-"));
  const ramDisk = join(folder, "ramdisk");
  const own = packCpio([{ kind: "file", path: "bottle/init.pl", content: Buffer.from(FRAMES), mode: 0o755 }]);
  // A kernel unpacks one archive after the other, and later files win.
  writeFileSync(ramDisk, Buffer.concat([readFileSync(spec.ramDisk), own]));
  const { port, hello, end } = await bareBoot({ ...spec, ramDisk });
  if (hello.toString("latin1", 0, 1) !== "h") throw new Error(`it says ${hello.toString("latin1")}`);
  port.setNoDelay?.(true);
  let text = hello.subarray(5);
  let wake = (): void => {};
  port.on("data", (chunk: Buffer) => {
    text = text.length === 0 ? chunk : Buffer.concat([text, chunk]);
    wake();
  });
  port.resume();
  const frame = async (): Promise<{ readonly kind: string; readonly bytes: Buffer }> => {
    for (;;) {
      const length = text.length < 5 ? undefined : text.readUInt32BE(1);
      if (length !== undefined && text.length >= 5 + length) {
        const whole = { kind: text.toString("latin1", 0, 1), bytes: text.subarray(5, 5 + length) };
        text = text.subarray(5 + length);
        return whole;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const say = (kind: string, bytes: Uint8Array = Buffer.alloc(0)): boolean => {
    const head = Buffer.alloc(5);
    head.write(kind);
    head.writeUInt32BE(bytes.length, 1);
    return port.write(Buffer.concat([head, bytes]));
  };
  return {
    async ping() {
      say("p");
      await frame();
    },
    async run(argv, input = Buffer.alloc(0)) {
      say("e", Buffer.from(argv.join("\0")));
      for (let at = 0; at < input.length; at += FRAME_BYTES) {
        if (!say("i", input.subarray(at, at + FRAME_BYTES)))
          await new Promise((resolve) => port.once("drain", resolve));
      }
      say("c");
      let said = 0;
      for (;;) {
        const { kind, bytes } = await frame();
        if (kind === "o") said += bytes.length;
        else if (kind === "x") {
          if (bytes.readUInt32BE(0) !== 0)
            throw new Error(`${argv.join(" ")} ended with ${bytes.readUInt32BE(0)}`);
          return said;
        }
      }
    },
    async end() {
      await end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
