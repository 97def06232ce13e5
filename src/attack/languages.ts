/** How a probe's text becomes a command line, and what a shell and a perl text have at hand. */
import { type SeccompArch, SYSCALL_NAMES, syscallNumber } from "../jail/syscalls.ts";
import type { Program } from "./probe.ts";

/**
 * `$scratch` may be written; `got words`, `refused CODE words`, `cannot words` end the program; `try command…` does it and tells by its end;
 * `has_token` succeeds when one that only a sidecar holds is in what it reads.
 */
const SHELL_KIT = `export LC_ALL=C
scratch=\${TRIES:-/tmp}
say() { printf '\\n@@{"seen":"%s","code":"%s","words":"%s"}\\n' "$1" "$2" "$(printf %s "$3" | tr -c 'A-Za-z0-9 ._/:=+-' '?' | cut -c 1-200)"; exit 0; }
got() { say got "" "$*"; }
refused() { code=$1; shift; say refused "$code" "$*"; }
cannot() { say not-run "" "$*"; }
code_of() {
  case $1 in
    *"No such file"*) echo ENOENT ;;
    *"Permission denied"*) echo EACCES ;;
    *"Operation not permitted"*) echo EPERM ;;
    *"Read-only file system"*) echo EROFS ;;
    *"Not a directory"*) echo ENOTDIR ;;
    *"No space left"*) echo ENOSPC ;;
    *"No such process"*) echo ESRCH ;;
    *"Resource temporarily unavailable"*) echo EAGAIN ;;
    *"Cannot allocate memory"*) echo ENOMEM ;;
    *"Network is unreachable"*) echo ENETUNREACH ;;
    *"not supported"*) echo EOPNOTSUPP ;;
    *"not found"*) echo not-found ;;
    *) echo failed ;;
  esac
}
has_token() {
  for token in $(tr '\\0' '\\n' | grep -ao 'gh[p]_[0-9a-f]\\{36\\}' | sort -u); do
    case $(printf %s "$token" | sha256sum | cut -d' ' -f1) in "$TOKEN_SHA256" | "$GIT_TOKEN_SHA256") return 0 ;; esac
  done
  return 1
}
try() {
  words=$("$@" 2>&1) && got "$* $words"
  refused "$(code_of "$words")" "$words"
}
`;

/** Calls that only probes make, beside those that the filter names. Same source. */
const FURTHER_CALLS: Readonly<Record<string, readonly [x64: number, arm64: number]>> = {
  setuid: [105, 146],
  setgid: [106, 144],
  setgroups: [116, 159],
  ptrace: [101, 117],
  prlimit64: [302, 261],
};

/**
 * `does(name, arguments…)` says got when a system call does not fail; `reaches(…)` also when it fails for what it was
 * asked, because then the kernel's own code has looked at it.
 */
function perlKit(arch: SeccompArch): string {
  const numbers = [
    ...SYSCALL_NAMES.map((name) => [name, syscallNumber(arch, name)] as const),
    ...Object.entries(FURTHER_CALLS).map(
      ([name, [x64, arm64]]) => [name, arch === "x64" ? x64 : arm64] as const,
    ),
  ].filter(([, number]) => number !== null);
  return `use strict; use Errno; $| = 1;
my %NUMBER = (${numbers.map(([name, number]) => `${name} => ${number}`).join(", ")});
my %NAME = map { eval("&Errno::$_") => $_ } grep { !/EWOULDBLOCK|EDEADLOCK|EOPNOTSUPP|ENOTSUP/ } keys %!;
sub say_it { my ($seen, $code, $words) = @_; $words =~ s/[^A-Za-z0-9 ._\\/:=+-]/?/g; $words = substr $words, 0, 200; print "\\n\\@\\@{\\"seen\\":\\"$seen\\",\\"code\\":\\"$code\\",\\"words\\":\\"$words\\"}\\n"; exit 0 }
sub got { say_it("got", "", join " ", @_) }
sub refused { my $code = shift; say_it("refused", $code, join " ", @_) }
sub cannot { say_it("not-run", "", join " ", @_) }
sub error_name { $NAME{ $! + 0 } // ($! + 0) }
sub number { $NUMBER{ $_[0] } // cannot("this architecture has no $_[0]") }
# In a child of its own: of a call that forks, two come back.
sub call {
  my ($name, @arguments) = @_;
  my $number = number($name);
  pipe my $reader, my $writer;
  my $child = fork // refused(error_name(), "fork");
  if (!$child) {
    local $SIG{ALRM} = sub { exit 0 };
    alarm 4;
    my $result = syscall($number, @arguments);
    syswrite $writer, ($result == -1 ? error_name() : "ok") . "\\n";
    exit 0;
  }
  close $writer;
  my $said = <$reader> // "killed\\n";
  waitpid $child, 0;
  chomp $said;
  return $said;
}
sub does { my $came = call(@_); $came eq "ok" ? got("$_[0] was done") : refused($came, $_[0]) }
sub reaches { my $came = call(@_); $came =~ /^(EPERM|EACCES|ENOSYS|EAFNOSUPPORT|EPROTONOSUPPORT|killed)$/ ? refused($came, $_[0]) : got("the kernel looked at $_[0]: $came") }
`;
}

/** @param kit the folder of the built programs, where it runs. */
export function argvOf(program: Program, kit: string): readonly string[] {
  switch (program.language) {
    case "sh":
      return ["sh", "-c", SHELL_KIT + program.text];
    case "node":
      return [
        ...["node", "--input-type=module", "-e"],
        `import * as kit from "file://${kit}/attack-kit.mjs"; Object.assign(globalThis, kit);\n${program.text}`,
      ];
    case "perl":
      return ["perl", "-e", perlKit(process.arch === "arm64" ? "arm64" : "x64") + program.text];
  }
}
