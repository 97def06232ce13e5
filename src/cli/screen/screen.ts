/**
 * `bottle inbox --watch`: the terminal's end of the screen. Keys and news go into {@link update} as they come, and each
 * is gone through whether or not it was drawn; drawing happens at most every {@link FRAME_MS} and takes the state as it
 * is by then. Whatever ends this leaves the terminal as it found it.
 */
import { writeSync } from "node:fs";
import type { Keeper } from "../../keeper/control-client.ts";
import { UserError, unreachable } from "../../lib/errors.ts";
import { createSteadyClock } from "../../lib/steady-clock.ts";
import { followInboxes } from "../inbox/follow.ts";
import { report, tell } from "../output.ts";
import { answer, createLasting, edit } from "./answers.ts";
import { byClock } from "./by-clock.ts";
import { createPainter, ENTER, LEAVE } from "./frame.ts";
import { createKeyDecoder, type Key } from "./keys.ts";
import { type Effect, initialState, type Size } from "./state.ts";
import { type ScreenEvent, update } from "./update.ts";
import { render } from "./view.ts";

/** Faster than an eye, and slow enough that a burst of news is one frame. */
const FRAME_MS = 16;
/** Within it the rest of a key's sequence comes, over ssh too; an Escape alone waits that long. */
const SEQUENCE_MS = 50;
/** Times left are told in seconds. */
const TICK_MS = 1_000;

/** @returns the exit code once the operator left, or a signal came. */
export async function openScreen(): Promise<number> {
  const { stdin, stdout } = process;
  if (stdin.isTTY !== true || stdout.isTTY !== true || process.env["TERM"] === "dumb") {
    throw new UserError("there is no terminal to draw a screen on", {
      hint: "bottle inbox, or bottle inbox --watch --json",
    });
  }
  const sizeNow = (): Size => ({ rows: stdout.rows || 24, columns: stdout.columns || 80 });
  const painter = createPainter({ colour: !process.env["NO_COLOR"] });
  const decoder = createKeyDecoder();
  const keepers = new Map<string, Keeper>();
  const answers = new Set<Promise<void>>();
  const lasting = createLasting();
  const failures: string[] = [];
  /** Keys that wait while somebody else has the terminal. */
  const typed: Key[] = [];
  const clock = createSteadyClock();
  let state = initialState(sizeNow(), clock());
  let isOurs = false;
  let isOver = false;
  let frame: NodeJS.Timeout | undefined;
  let sequence: NodeJS.Timeout | undefined;
  let finish: (code: number) => void = () => {};
  const finished = new Promise<number>((resolve) => {
    finish = resolve;
  });

  function take(): void {
    if (isOurs || isOver) return;
    isOurs = true;
    stdin.setRawMode(true);
    stdin.resume();
    painter.forget();
    stdout.write(ENTER);
    dispatch({ kind: "size", size: sizeNow() });
    schedule();
    goThrough();
  }

  /** By a write that is done when it returns: whoever calls this may be about to end. */
  function give(): void {
    if (!isOurs) return;
    isOurs = false;
    try {
      writeSync(stdout.fd, LEAVE);
      stdin.setRawMode(false);
    } catch {
      // The terminal is gone, and with it what would be put right.
    }
    stdin.pause();
  }

  function dispatch(event: ScreenEvent): void {
    const step = update(state, event);
    const hasChanged = step.state !== state;
    state = step.state;
    for (const effect of step.effects) run(effect);
    if (hasChanged) schedule();
  }

  function schedule(): void {
    if (frame === undefined && isOurs && !isOver) frame = setTimeout(draw, FRAME_MS);
  }

  function draw(): void {
    frame = undefined;
    if (!isOurs || isOver) return;
    const drawn = state;
    const text = painter.paint(render(drawn));
    const done = (): void => dispatch({ kind: "drawn", state: drawn });
    if (text === "") done();
    else stdout.write(text, done);
  }

  function goThrough(): void {
    for (let key = isOurs ? typed.shift() : undefined; key !== undefined; ) {
      dispatch({ kind: "key", key });
      key = isOurs && !isOver ? typed.shift() : undefined;
    }
  }

  function onInput(chunk: Buffer): void {
    clearTimeout(sequence);
    typed.push(...decoder.write(chunk));
    if (decoder.waiting) sequence = setTimeout(onSilence, SEQUENCE_MS);
    goThrough();
  }

  function onSilence(): void {
    typed.push(...decoder.flush());
    goThrough();
  }

  function run(effect: Effect): void {
    switch (effect.kind) {
      case "quit":
        isOver = true;
        finish(0);
        return;
      case "redraw":
        painter.forget();
        schedule();
        return;
      case "suspend":
        give();
        process.once("SIGCONT", take);
        process.kill(process.pid, "SIGTSTP");
        return;
      case "edit":
        give();
        following(edit(keepers.get(effect.view.bottle), effect), take);
        return;
      case "plan-always":
        following(lasting.plan(effect.subject));
        return;
      case "approve-always":
        following(lasting.carryOut(keepers.get(effect.subject.bottle), effect.subject));
        return;
      case "approve":
        following(answer(keepers.get(effect.subject.bottle), effect));
        return;
      case "deny":
      case "revoke":
      case "freeze":
      case "thaw":
        following(answer(keepers.get(effect.bottle), effect));
        return;
      default:
        unreachable(effect);
    }
  }

  /** An answer on its way is waited for, also by whoever has left the screen by then. */
  function following(outcome: Promise<ScreenEvent>, after: () => void = () => {}): void {
    const noted = outcome.then((event) => {
      answers.delete(noted);
      if (isOver && event.kind === "failed") failures.push(event.text);
      dispatch(event);
      after();
    });
    answers.add(noted);
  }

  const onCrash = (error: unknown): void => {
    give();
    process.exit(report(error));
  };
  const signals = { SIGTERM: 143, SIGHUP: 129, SIGINT: 130 } as const;
  const handlers = Object.entries(signals).map(([name, code]) => [name, () => finish(code)] as const);
  for (const [name, handler] of handlers) process.on(name, handler);
  process.on("exit", give);
  process.on("uncaughtException", onCrash);
  const onResize = (): void => {
    painter.forget();
    dispatch({ kind: "size", size: sizeNow() });
  };
  stdout.on("resize", onResize);
  stdin.on("data", onInput);
  stdin.once("end", () => finish(129));
  stdin.on("error", () => finish(129));
  const tick = setInterval(() => dispatch({ kind: "tick", now: clock() }), TICK_MS);
  const inboxes = followInboxes({
    onView(view, keeper) {
      keepers.set(view.bottle, keeper);
      dispatch({ kind: "view", view: byClock(view, clock()) });
    },
    onGone(bottle) {
      keepers.delete(bottle);
      dispatch({ kind: "gone", bottle });
    },
  });
  try {
    take();
    return await finished;
  } finally {
    isOver = true;
    inboxes.close();
    clearInterval(tick);
    clearTimeout(frame);
    clearTimeout(sequence);
    stdin.off("data", onInput);
    stdout.off("resize", onResize);
    give();
    await Promise.all(answers);
    process.off("exit", give);
    process.off("uncaughtException", onCrash);
    for (const [name, handler] of handlers) process.off(name, handler);
    for (const text of failures) tell(`error: ${text}`);
  }
}
