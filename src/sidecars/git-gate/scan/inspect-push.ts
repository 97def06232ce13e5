/**
 * Looks at all that a push would bring: the names of its refs, every object that upstream has not, and every path
 * that its commits change. Contract (I4): allowed means that each of these was looked at to its end. Nothing in a
 * repository is obeyed: no marker, ignore file, attribute or configuration.
 */
import { messageOf } from "../../../lib/errors.ts";
import { allow, refuse, type Verdict } from "../denial.ts";
import type { Running } from "../git/run.ts";
import { readChanges } from "./changes.ts";
import { listChanges, listPush, ranOutOfMemory } from "./listing.ts";
import { beginLook, type Look, type PushToInspect } from "./look.ts";
import { inspectMerges, type PushMerges } from "./merges.ts";
import { readObjects } from "./object-stream.ts";
import { inspectObjects, type PushObjects } from "./push-objects.ts";
import { inspectPaths, type PushPaths } from "./push-paths.ts";

export type Inspected = ReturnType<PushObjects["seen"]> & ReturnType<PushPaths["seen"]>;

export async function inspectPush(push: PushToInspect): Promise<Verdict<Inspected>> {
  try {
    return await lookAt(beginLook(push));
  } catch (error) {
    return refuse(
      "inspection-failed",
      `the push could not be looked at: ${messageOf(error)}`,
      "all of it, or nothing",
    );
  }
}

async function lookAt(look: Look): Promise<Verdict<Inspected>> {
  const { refs, tips, inspector, budget, findings } = look;
  const objects = inspectObjects(look);
  const paths = inspectPaths(look);
  const merges = inspectMerges(look, paths.matters);
  for (const ref of refs) {
    for (const finding of inspector.scan(Buffer.from(ref))) findings.add(finding, { in: "ref" });
  }
  if (tips.length > 0) {
    await lookAtAll(look, objects, paths, merges);
    for await (const change of merges.takenBack()) if (!paths.take(change)) break;
    if (budget.refusal !== undefined) return budget.refusal;
    paths.end();
    // Most pushes hold nothing; those that do are looked at once more for where it came in.
    if (findings.areUnplaced()) await findPlaces(look);
  }
  const refusal = findings.refusal() ?? paths.refusal() ?? objects.refusal() ?? (await paths.ruleRefusal());
  return refusal ?? allow({ ...objects.seen(), ...paths.seen() });
}

async function lookAtAll(
  look: Look,
  objects: PushObjects,
  paths: PushPaths,
  merges: PushMerges,
): Promise<void> {
  const { git, place, tips, limits, signal, budget } = look;
  const running = listPush(git, place, { tips, paths: limits.files }, signal);
  const { stdout, more } = running;
  if (more === undefined) throw new Error("a list of half of it");
  const { failure, words } = await readToEnd(running, [
    readObjects(stdout, objects.sink),
    readChanges(more, [paths.take, merges.take]),
  ]);
  if (failure === undefined) return;
  if (ranOutOfMemory(words)) paths.refuseNumber();
  if (budget.refusal === undefined) throw failure;
}

/** Where git cannot show it, what was found is told without: it is refused all the same. */
async function findPlaces({ git, place, tips, limits, signal, findings }: Look): Promise<void> {
  const running = listChanges(git, place, { tips, paths: limits.files }, signal);
  await readToEnd(running, [
    readChanges(running.stdout, [
      (change) => {
        findings.place(change);
        return findings.areUnplaced();
      },
    ]),
  ]);
}

/** To the end of all, unless one has had enough. */
async function readToEnd(
  running: Running,
  readers: readonly Promise<void>[],
): Promise<{ readonly failure: Error | undefined; readonly words: string }> {
  let failure: Error | undefined;
  await Promise.all(readers).catch((error: unknown) => {
    failure = error instanceof Error ? error : new Error("it could not be read");
  });
  running.kill();
  const { stderr } = await running.ended;
  return { failure, words: stderr };
}
