/** What a guest can use up. Each tries no more than its bottle's limits are, and on the host no more than any program may. */
import { node, type Otherwise, type Probe, perl, probesOf, sh } from "../probe.ts";

const NO_MEMORY_LIMIT: Otherwise = {
  without: ["memoryLimit"],
  seen: ["got"],
  because: "this host gives its user no group that limits memory; bottle doctor says so",
};
const NO_PROCESS_LIMIT: Otherwise = {
  without: ["processLimit"],
  seen: ["got"],
  because: "its processes are those of a kernel of its own, and that one's memory alone limits them",
};
const GVISOR_WAITS: Otherwise = {
  without: ["linux"],
  seen: ["stuck"],
  because:
    "the host's kernel ends a helper of gVisor's, which waits for it for ever: the program neither ends nor gets more",
};

const use = probesOf("resources", "resource", {
  slow: "it takes what it can",
  timeoutMs: 60_000,
});

/** Of asm-generic/resource.h. */
const RLIMIT_NOFILE = 7;

/** A bottle has 4096 processes, and 768 MiB of memory here. */
export const RESOURCES: readonly Probe[] = [
  use(
    "processes",
    "starts processes and buries none of them, until it cannot",
    [
      perl(`my $wanted = defined $ENV{TRIES} ? 300 : 4300; my @children; my $failed = "";
for (1 .. $wanted) { my $pid = fork; if (!defined $pid) { $failed = error_name(); last } exit 0 if $pid == 0; push @children, $pid }
my $n = @children; waitpid $_, 0 for @children;
$failed eq "" ? got("$n were started") : refused($failed, "after $n")`),
    ],
    ["EAGAIN", "ENOMEM"],
    // gVisor makes some seventy a second on a busy host.
    { otherwise: [NO_PROCESS_LIMIT], timeoutMs: 150_000 },
  ),
  use(
    "memory",
    "takes more memory than it was given",
    [
      node(`import { spawn } from "node:child_process";
const bytes = 900; const hog = spawn("node", ["-e", "const kept = []; for (let i = 0; i < " + bytes + "; i++) kept.push(Buffer.alloc(2 ** 20, 1)); console.log('all of it')"], { stdio: ["ignore", "pipe", "ignore"] });
let stdout = ""; hog.stdout.on("data", (text) => { stdout += text; });
setTimeout(() => refused("stuck"), 140000);
hog.on("close", (status, signal) => stdout.includes("all of it") ? got(bytes + " MiB were taken") : refused(signal ?? "exit-" + status));`),
    ],
    ["SIGKILL", "exit-134", "SIGABRT", "exit-137"],
    // A kernel that has next to nothing left looks for every page that it could take back before it ends somebody.
    { otherwise: [NO_MEMORY_LIMIT, GVISOR_WAITS], timeoutMs: 150_000 },
  ),
  use(
    "shared-memory",
    "fills memory that is no process's",
    [
      sh(
        'f=/dev/shm/filled; [ -z "$TRIES" ] || f=$TRIES/filled; words=$(fallocate -l 1200M "$f" 2>&1); code=$?; rm -f "$f"; [ $code = 0 ] && got "1200 MiB were taken"; refused "$(code_of "$words")" "$words"',
      ),
    ],
    ["ENOSPC", "ENOMEM"],
  ),
  use(
    "temporary-files",
    "fills the host's memory with temporary files",
    [
      sh(
        'f="$scratch/filled"; words=$(fallocate -l 1200M "$f" 2>&1); code=$?; rm -f "$f"; [ $code = 0 ] && got "1200 MiB were taken"; refused "$(code_of "$words")" "$words"',
      ),
    ],
    ["ENOSPC", "ENOMEM"],
    {
      otherwise: [
        {
          without: ["sharedKernel"],
          seen: ["got"],
          because: "its disk is a file of a fixed size on the host",
        },
      ],
    },
  ),
  use(
    "descriptors",
    "raises the number of files that it may have open",
    [
      // Twice what a bottle has, and far below a host's own.
      perl(`my $most = defined $ENV{TRIES} ? 100 : 8200; my @open; my $hard = pack "Q2", 8300, 8300;
syscall number("prlimit64"), 0, ${RLIMIT_NOFILE}, $hard, 0;
my $own = "\\0" x 16; syscall number("prlimit64"), 0, ${RLIMIT_NOFILE}, 0, $own; $own = pack "Q2", (unpack "Q2", $own)[1, 1];
syscall number("prlimit64"), 0, ${RLIMIT_NOFILE}, $own, 0;
for (1 .. $most) { open my $f, "<", "/dev/null" or refused(error_name(), "after " . @open); push @open, $f } got(@open . " are open")`),
    ],
    ["EMFILE", "ENFILE"],
    {
      otherwise: [
        {
          without: ["fileLimit"],
          seen: ["got"],
          because: "it has what its engine, or a kernel of its own, gives to every process",
        },
      ],
    },
  ),
  use(
    "connections",
    "opens connections until egress answers nobody else",
    [
      node(`import { connect } from "node:net"; const at = proxy(); const sockets = [];
const settled = [];
for (let i = 0; i < 1300; i++) { const s = connect({ host: at.host, port: at.port }); s.on("error", () => {}); settled.push(new Promise((r) => { s.once("connect", r); s.once("close", r); })); sockets.push(s); if (i % 100 === 99) await new Promise((r) => setTimeout(r, 10)); }
// One that still waits for its turn is neither kept nor refused; a busy host takes its time.
await Promise.race([Promise.all(settled), new Promise((r) => setTimeout(r, 20000))]);
await new Promise((r) => setTimeout(r, 500));
const open = sockets.filter((s) => !s.destroyed && s.readyState === "open").length;
for (const s of sockets) s.destroy();
open === 1300 ? got("all " + open + " are kept") : refused("bounded", { words: open + " of 1300 were kept" })`),
    ],
    ["bounded"],
  ),
  use(
    "log-flood",
    "fills the host's disk through its log, with thousands of refusals",
    [
      node(`import { request } from "node:http"; const at = proxy(); let left = 2000, done = 0, denied = 0; const agent = new (await import("node:http")).Agent({ keepAlive: true, maxSockets: 20 });
await new Promise((ok) => { const go = () => { if (left-- <= 0) { if (++done === 20) ok(); return; } const r = request({ host: at.host, port: at.port, agent, path: "http://flood.test/" + "x".repeat(2000), headers: { host: "flood.test" } }, (a) => { if (a.headers["x-bottle-denied"] !== undefined) denied++; a.resume(); a.on("end", go); }); r.on("error", go); r.end(); }; for (let i = 0; i < 20; i++) go(); }); denied > 1800 ? got(denied + " refusals") : cannot("only " + denied + " of 2000 requests were refused")`),
      sh(
        'size=$(wc -c <"$AUDIT"); [ "$SIDE" = bottle ] || size=99000000; [ "$size" -gt 4000000 ] && got "the log has $size bytes"; refused bounded "$size bytes"',
        "host",
      ),
    ],
    ["bounded"],
    {
      // Two thousand answers, on a processor that is emulated on a busy host.
      timeoutMs: 180_000,
      // What is not bounded is told apart.
      control: [
        sh(
          'head -c 5000000 /dev/zero >"$TRIES/log"; size=$(wc -c <"$TRIES/log"); rm -f "$TRIES/log"; [ "$size" -gt 4000000 ] && got "a log of $size bytes"; refused bounded',
          "host",
        ),
      ],
    },
  ),
  // Last, so that the neighbour asks while the flood goes on.
  use(
    "crowded-out",
    "keeps its neighbour from its work by a flood of requests",
    [
      node(`import { spawn } from "node:child_process";
const flood = "const { request } = require('http'); const at = new URL(process.env.HTTPS_PROXY); let left = 3000; const go = () => { if (left-- <= 0) return; const r = request({ host: at.hostname, port: at.port, path: 'http://flood.test/', headers: { host: 'flood.test' } }, (a) => { a.resume(); a.on('end', go); }); r.on('error', go); r.end(); }; for (let i = 0; i < 50; i++) go();";
spawn("setsid", ["node", "-e", flood], { stdio: "ignore" }).unref(); got("it goes on")`),
      node(
        `import { spawnSync } from "node:child_process"; const from = performance.now(); const { stdout } = spawnSync("curl", ["-sS", "--max-time", "8", "https://" + env.DENIED_HOST + "/"], { encoding: "latin1" }); stdout.includes(env.WORD) ? refused("served", { ms: performance.now() - from }) : got("the neighbour was not served: " + stdout.slice(0, 80))`,
        "neighbour",
      ),
    ],
    ["served"],
    {
      // Of the neighbour's request, that it can fail: a host that nobody listed for it.
      control: [
        node(
          `import { spawnSync } from "node:child_process"; const { stdout } = spawnSync("curl", ["-sS", "--max-time", "8", "https://" + env.ALLOWED_HOST + "/"], { encoding: "latin1" }); stdout.includes(env.WORD) ? refused("served") : got("a request that is not served is told")`,
          "neighbour",
        ),
      ],
    },
  ),
];
