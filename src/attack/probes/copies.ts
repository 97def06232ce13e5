/** I1, I2: files that come out of a guest by the operator's own hand, and act on nothing. */
import { type Probe, probesOf, sh } from "../probe.ts";

const file = probesOf("files", "file");

export const COPIES: readonly Probe[] = [
  file(
    "copied-link",
    "has the operator copy out a link to a file of theirs",
    [
      sh(
        'd=$scratch/linked; mkdir -p "$d" && ln -sfn "$OPERATOR/.ssh" "$d/keys" && ln -sf "$OPERATOR/.ssh/id_ed25519" "$d/key" && ln -sfn ../../user/.ssh "$d/up" && echo x >"$d/file" && got "they are there"',
      ),
      sh(
        `${takeOut("linked")}
[ -f "$out/file" ] || cannot "nothing was copied"; cat "$out/key" >/dev/null 2>&1 && got "the copy leads to the key"; cat "$out/keys/id_ed25519" >/dev/null 2>&1 && got "the copy leads to the keys"; cat "$out/up/id_ed25519" >/dev/null 2>&1 && got "the copy leads up to the keys"; refused no-link`,
        "host",
      ),
    ],
    ["no-link"],
    { invariant: "I2", slow: "a copy is taken out by a command" },
  ),
  file(
    "copied-set-id",
    "has the operator copy out a program that makes them another user",
    [
      sh(
        'd=$scratch/setid; mkdir -p "$d" && cp /usr/bin/id "$d/id" && chmod 6755 "$d/id" && got "it is there"',
      ),
      sh(
        `${takeOut("setid")}
[ -u "$out/id" ] || [ -g "$out/id" ] && got "the copy is set-id"; [ -f "$out/id" ] || cannot "nothing was copied"; refused stripped`,
        "host",
      ),
    ],
    ["stripped"],
    { slow: "a copy is taken out by a command" },
  ),
  file(
    "copied-pipe",
    "has the operator copy out a pipe that never ends",
    [
      sh('d=$scratch/piped; mkdir -p "$d" && mkfifo "$d/pipe" && echo x >"$d/file" && got "it is there"'),
      sh(
        `${takeOut("piped")}
[ -f "$out/file" ] || cannot "nothing was copied"; [ -p "$out/pipe" ] && got "the copy has it"; refused left-out`,
        "host",
      ),
    ],
    ["left-out"],
    { slow: "a copy is taken out by a command" },
  ),
  armed(
    "hook",
    "has the operator copy out a repository in which a hook runs a command",
    `printf '#!/bin/sh\\ntouch ran\\n' >.git/hooks/pre-commit && chmod +x .git/hooks/pre-commit`,
    "git commit -q --allow-empty -m x",
  ),
  armed(
    "settings",
    "has the operator copy out a repository whose settings run a command",
    'git config core.fsmonitor "touch ran;false"',
    "git status",
  ),
  file(
    "pulled-hook",
    "has a command run on the host when the operator looks at its work",
    [
      sh(`cd "\${TRIES:+$SIDE_ROOT/outside/}workspace" 2>/dev/null || cd "$HOME/workspace" || cannot there is no workspace
git config core.fsmonitor "touch $SIDE_ROOT/tries/ran-$SIDE;false"; git config diff.external "touch $SIDE_ROOT/tries/ran-$SIDE"; git config core.hooksPath hooks; echo more >>README.md; got "it is there"`),
      sh(
        `[ "$SIDE" = bottle ] && ran=$TRIES/ran-guest || ran=$TRIES/ran-outside
rm -f "$ran"
if [ "$SIDE" = bottle ]; then $BOTTLE diff "$ID" >/dev/null 2>&1 || cannot "bottle diff failed"; $BOTTLE pull "$ID" >/dev/null 2>&1 || cannot "bottle pull failed"; else git -C "$SIDE_ROOT/outside/workspace" diff >/dev/null 2>&1; fi
[ -e "$ran" ] && got "it ran"; refused nothing-ran`,
        "host",
      ),
    ],
    ["nothing-ran"],
    { slow: "its work is taken out by commands" },
  ),
];

/** A repository that is made so by the guest, and used so by the operator. */
function armed(what: string, tries: string, make: string, use: string): Probe {
  const name = `armed-${what}`;
  return file(
    `copied-${what}`,
    tries,
    [
      sh(
        `d=$scratch/${name}; rm -rf "$d"; mkdir -p "$d" && cd "$d" && git init -q . && ${make} && got "it is there"`,
      ),
      sh(
        `${takeOut(name)}
cd "$out" && [ "$(git rev-parse --git-dir)" = .git ] || cannot "no repository was copied"; ${use} >/dev/null 2>&1; [ -e ran ] && got "it ran"; refused nothing-ran`,
        "host",
      ),
    ],
    ["nothing-ran"],
    { slow: "a copy is taken out by a command" },
  );
}

/** As the operator takes it out of a bottle; outside, as one copies things. Both leave it in `$out`. */
function takeOut(name: string): string {
  return `out="$TRIES/out-$SIDE-${name}"; rm -rf "$out"
if [ "$SIDE" = bottle ]; then words=$($BOTTLE cp "$ID:/tmp/${name}" "$out" 2>&1) || case $words in *"left out"*|*"not copied"*) ;; *) [ -e "$out" ] || cannot "bottle cp: $words" ;; esac
else cp -a "$TRIES/${name}" "$out"; fi`;
}
