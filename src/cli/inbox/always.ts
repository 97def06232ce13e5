/**
 * A grant that lasts: written into the manifest that the bottle is made from. What is written is tried first, by loading
 * the manifest with it and computing what it allows: it must be what the grant allows, no more and no less, or nothing is
 * written. Other agents may inherit the file, so each is named with what it could do from then on.
 */
import { readFileSync, realpathSync, statSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { stringify } from "yaml";
import type { Allowed } from "../../approvals/allowed.ts";
import { withGrant } from "../../approvals/allowed.ts";
import { describeChange, difference } from "../../approvals/difference.ts";
import type { Ask } from "../../contract/approvals.ts";
import { bottlePaths, readRecord } from "../../keeper/bottle-record.ts";
import { plannedAllowed } from "../../keeper/in-force.ts";
import { draftBeside } from "../../lib/draft.ts";
import { codeOf, messageOf, UserError } from "../../lib/errors.ts";
import { homeOf, makePrivateDir } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";
import { bottleOf, type LoadedBottle } from "../../manifest/bottle-chain.ts";
import { builtInBottle } from "../../manifest/built-ins.ts";
import { textWithGrant } from "../../manifest/granted-text.ts";
import { loadIndex, type ManifestIndex } from "../../manifest/index-scan.ts";
import { loadAgent } from "../../manifest/load.ts";
import { expandPresets } from "../../plan/presets/expand.ts";
import { planRoutes } from "../../plan/routes.ts";
import { providerNamed } from "../../providers/registry.ts";
import { inEnvironment } from "../launch-order.ts";
import { readSetup } from "../operator-setup.ts";
import { lineDiff } from "./line-diff.ts";
import type { Passage } from "./words.ts";

export interface AlwaysPlan {
  /** The diff, and who inherits it. */
  readonly passages: readonly Passage[];
  /**
   * Runs `approve` between staging the file and putting it in its place, so that neither happens without the other.
   * @throws UserError when the file was changed meanwhile; whatever `approve` throws.
   */
  carryOut(approve: () => Promise<void>): Promise<void>;
}

interface Candidate {
  /** Of the bottle. */
  readonly name: string;
  /** Where it really lies. */
  readonly file: string;
  /** Undefined for one that is to be made. */
  readonly before: string | undefined;
}

interface Written extends Candidate {
  readonly after: string;
}

/** @throws UserError saying why it cannot be written, and what else can be done. */
export async function planAlways(id: string, ask: Ask): Promise<AlwaysPlan> {
  const { plan } = await readRecord(bottlePaths(id));
  const index = loadIndex({ home: homeOf() });
  const name = plan.bottle.name;
  const now = allowedOf(index, name, id);
  const wanted = withGrant(now, ask, id);
  if (difference(now, wanted).length === 0) return nothingToWrite(name);
  const faults: string[] = [];
  for (const candidate of candidatesFor(index, name)) {
    const text = textWithGrant(candidate.before ?? newBottle(), ask, id);
    if (!text.ok) {
      faults.push(`${candidate.file} ${text.reason}`);
      continue;
    }
    const written = { ...candidate, after: text.value };
    const staged = await stage(written);
    try {
      const then = withFile(index, written.name, staged);
      const fault = faultOf(wanted, allowedOf(then, name, id));
      if (fault === undefined) return planOf(written, id, { now: index, then });
      faults.push(`${candidate.file}: ${fault}`);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      faults.push(`${candidate.file}: ${messageOf(error).replaceAll(staged, candidate.file)}`);
    } finally {
      await rm(staged, { force: true });
    }
  }
  throw new UserError(`this cannot be written into the manifest of ${name}:\n  ${faults.join("\n  ")}`, {
    hint: "give it with --session, and write it yourself where you want it",
  });
}

function nothingToWrite(name: string): AlwaysPlan {
  const lines = [`${name} allows it already, from its next start on`];
  return {
    passages: [{ heading: "nothing would be written", lines, kind: "fact" }],
    carryOut: (approve) => approve(),
  };
}

/** Those that say something themselves come last in a chain, and count most. */
function candidatesFor(index: ManifestIndex, name: string): readonly Candidate[] {
  const chosen = index.bottles.find((each) => each.name === name);
  if (chosen === undefined) {
    throw new UserError(`there is no bottle ${name} any more in ${index.home.bottles}`, {
      hint: "give it with --session",
    });
  }
  if (chosen.file === undefined) {
    return [{ name, file: join(index.home.bottles, `${name}.md`), before: undefined }];
  }
  return bottleOf(index, chosen)
    .files.toReversed()
    .map((path) => {
      const file = realpathSync(path);
      return { name: basename(path, ".md"), file, before: readFileSync(file, "utf8") };
    });
}

/** The built-in one as a file of the same name, which then takes its place. */
function newBottle(): string {
  return `---\n${stringify(builtInBottle())}---\nWhat comes with bot-bottle under this name, and what you approved for always.\n`;
}

async function stage({ file, before, after }: Written): Promise<string> {
  await makePrivateDir(dirname(file));
  const staged = await draftBeside(file);
  const mode = before === undefined ? 0o600 : statSync(file).mode & 0o777;
  const handle = await open(staged, "wx", mode);
  try {
    await handle.writeFile(after);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return staged;
}

function withFile(index: ManifestIndex, name: string, file: string): ManifestIndex {
  return {
    ...index,
    bottles: index.bottles.map((each) => (each.name === name ? { name, source: "home", file } : each)),
  };
}

/** What a bottle made from these files may do. */
function allowedOf(index: ManifestIndex, name: string, id: string): Allowed {
  const entry = index.bottles.find((each) => each.name === name);
  if (entry === undefined) throw new UserError(`there is no bottle ${name} any more`);
  return allowedIn(bottleOf(index, entry), id);
}

function allowedIn(bottle: LoadedBottle, id: string): Allowed {
  const presets = expandPresets(bottle.presets, readSetup(bottle.presets));
  const { routes } = planRoutes(bottle.routes, presets.routes, providerNamed(bottle.template), inEnvironment);
  return plannedAllowed(id, { routes, repos: bottle.repos });
}

function faultOf(wanted: Allowed, written: Allowed): string | undefined {
  const [more] = difference(wanted, written);
  if (more !== undefined) return `written there it would also allow: ${describeChange(more)}`;
  const [less] = difference(written, wanted);
  return less && `written there it would not allow: ${describeChange(less)}`;
}

function planOf(
  written: Written,
  id: string,
  { now, then }: { readonly now: ManifestIndex; readonly then: ManifestIndex },
): AlwaysPlan {
  const { file, before, after } = written;
  const diff = lineDiff(before ?? "", after);
  return {
    passages: [
      {
        heading: `would be ${before === undefined ? "made" : "written"}: ${file}`,
        lines: diff.map((line) => printable(line, 2_000)),
        kind: "fact",
      },
      {
        heading: "agents whose bottle inherits that file",
        lines: heirsOf(written.name, id, now, then),
        kind: "fact",
      },
    ],
    async carryOut(approve) {
      if (contentOf(file) !== before) {
        throw new UserError(`${file} was changed meanwhile; nothing was written or approved`, {
          hint: "look at it again",
        });
      }
      const staged = await stage(written);
      try {
        await approve();
        await rename(staged, file).catch((cause) => {
          throw new UserError(
            `given for as long as the bottle lives, but ${file} could not be written: ${messageOf(cause)}`,
          );
        });
      } finally {
        await rm(staged, { force: true });
      }
    },
  };
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** With what each could do from then on. One that cannot be loaded cannot be started either. */
function heirsOf(changed: string, id: string, now: ManifestIndex, then: ManifestIndex): readonly string[] {
  const file = then.bottles.find((each) => each.name === changed)?.file;
  const lines = now.agents.flatMap(({ name }): readonly string[] => {
    try {
      const { bottle } = loadAgent(then, name);
      if (file === undefined || !bottle.files.includes(file)) return [];
      const before = allowedOf(now, bottle.name, id);
      const changes = difference(before, allowedIn(bottle, id)).map(describeChange);
      const open = bottle.repoAgents ? ", which agents of repositories may run in too" : "";
      const what = changes.length === 0 ? "nothing new" : changes.join("; ");
      return [`${name} (bottle ${bottle.name}${open}): ${what}`];
    } catch (error) {
      if (error instanceof UserError) return [];
      throw error;
    }
  });
  return lines.length === 0 ? ["none that is here"] : lines.map((line) => printable(line, 2_000));
}
