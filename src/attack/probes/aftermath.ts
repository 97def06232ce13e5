/** I9: what is left of a bottle once it is gone. While it is there the same programs find it. */
import { node, type Otherwise, type Probe, type Step, sh } from "../probe.ts";

function left(what: string, tries: string, attack: readonly Step[], more: Partial<Probe> = {}): Probe {
  return {
    id: `left-${what}`,
    invariant: "I9",
    group: "aftermath",
    tries,
    attack,
    refused: ["none"],
    control: "outside",
    after: true,
    slow: "it is looked at once",
    ...more,
  };
}

/** What there was while the bottles were there, still is now, and was not before. */
function still(section: string, pick = "", among = section): readonly Step[] {
  return [
    node(
      `import { readFileSync } from "node:fs"; const read = (file, section) => { const all = JSON.parse(readFileSync(file, "utf8"))[section]; return new Set(all${pick}); };
const before = read(env.BEFORE, "${among}"), during = read(env.DURING, "${section}"), after = read(env.AFTER, "${among}");
const found = [...during].filter((thing) => after.has(thing) && !before.has(thing)); found.length > 0 ? got(found.length + ": " + found.slice(0, 3).join("; ")) : refused("none")`,
      "host",
    ),
  ];
}

const NONE_EVER: Otherwise = { seen: ["none"], because: "this backend made none on this host" };

export const AFTERMATH: readonly Probe[] = [
  left("processes", "leaves a process running", still("processes"), {
    // One of its parts is there once somebody asks it.
    control: [node("judgeAnswer(await mcp('list_capabilities', {}))"), ...still("processes")],
  }),
  left("namespaces", "leaves a namespace that somebody is in", still("namespaces", "", "inhabited"), {
    controlOtherwise: [NONE_EVER],
  }),
  left("mounts", "leaves a mount", still("mounts"), { controlOtherwise: [NONE_EVER] }),
  left("sockets", "leaves a socket that somebody listens on", still("sockets")),
  left("listeners", "leaves a port that somebody listens on", still("listeners", "", "listening"), {
    controlOtherwise: [NONE_EVER],
  }),
  left("groups", "leaves a group of processes", still("groups"), { controlOtherwise: [NONE_EVER] }),
  left("interfaces", "leaves a network interface", still("interfaces"), { controlOtherwise: [NONE_EVER] }),
  left(
    "files",
    "leaves a file besides its log",
    still(
      "files",
      ".filter((path) => !/\\/(audit|user|kit|made|tries|outside|upstream|project|sockets)(\\/|$)|\\/(looked-|received-|asked-)/.test(path))",
    ),
  ),
  left("state", "leaves its state", [
    sh('[ -d "$STATE/$ID" ] || [ -d "$STATE/$NEIGHBOUR_ID" ] && got "it is there"; refused none', "host"),
  ]),
  left("cleanup", "leaves something that only bottle cleanup finds", [
    sh(
      '[ "$SIDE" = bottle ] || { $BOTTLE list --json | grep -q "\\"$ID\\"" && got "the bottle is listed"; refused none; }; words=$($BOTTLE cleanup --dry-run 2>&1); case $words in *"nothing was left behind"*) refused none ;; esac; got "$words"',
      "host",
    ),
  ]),
  left("listed", "is listed still", [
    sh('$BOTTLE list --json | grep -q "\\"$ID\\"" && got "it is listed"; refused none', "host"),
  ]),
  left("control-socket", "leaves its keeper's socket answering", [
    node(
      `import { connect } from "node:net"; const s = connect(env.CONTROL_SOCKET); s.on("connect", () => got("it answers")); s.on("error", (e) => refused("none", { words: e.code }));`,
      "host",
    ),
  ]),
  {
    ...left("daemon", "leaves a process that has left its session and ignores every signal", []),
    attack: [
      sh(
        'for p in /proc/[0-9]*; do tr "\\0" " " <$p/cmdline 2>/dev/null | grep -q "^daemon-of-$ID" && got "$p"; done; refused none',
        "host",
      ),
    ],
    control: [
      node(
        `import { spawn } from "node:child_process"; spawn("sleep", ["3600"], { argv0: "daemon-of-" + env.ID, detached: true, stdio: "ignore" }).unref(); got("it runs")`,
      ),
      sh(
        'for p in /proc/[0-9]*; do tr "\\0" " " <$p/cmdline 2>/dev/null | grep -q "^daemon-of-$ID" && got "$p"; done; refused none',
        "host",
      ),
    ],
    controlOtherwise: [
      {
        without: ["sharedKernel"],
        seen: ["none"],
        because: "a virtual machine's processes are none of the host's",
      },
    ],
  },
];
