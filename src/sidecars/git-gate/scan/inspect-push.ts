/**
 * Looks at all that a push would bring: the names of its refs, every object that upstream has not, and every path
 * that its commits change. Contract (I4): allowed means that each of these was looked at to its end. Nothing in a
 * repository is obeyed: no marker, ignore file, attribute or configuration.
 */
import type { GitFinding, GitLimits } from "../../../contract/git-gate.ts";
import type { Finding } from "../../../inspect/finding.ts";
import type { Inspector } from "../../../inspect/inspector.ts";
import { messageOf } from "../../../lib/errors.ts";
import { allow, type DenialCode, type Refusal, refuse, type Verdict } from "../denial.ts";
import type { Git, Place, Running } from "../git/run.ts";
import { LIMITS } from "../limits.ts";
import { isLfsPointer, rulesFileKind } from "../policy/content.ts";
import { foldPath } from "../policy/glob.ts";
import type { PathPolicy } from "../policy/paths.ts";
import { type Change, readChanges } from "./changes.ts";
import { type Budget, type Content, inspectContent } from "./content.ts";
import { listChanges, listPush, ranOutOfMemory } from "./listing.ts";
import { type ObjectHead, type ObjectSink, readObjects } from "./object-stream.ts";
import { newRule, type RulesFile, readBlobs } from "./rules-files.ts";
import { shownBytes } from "./shown.ts";
import { inspectText } from "./text.ts";
import { treeNames } from "./trees.ts";

export interface PushToInspect {
  readonly git: Git;
  readonly place: Place;
  readonly refs: readonly string[];
  /** New values of the refs, without deletions. */
  readonly tips: readonly string[];
  readonly inspector: Inspector;
  readonly paths: PathPolicy;
  readonly limits: GitLimits;
  readonly excepted: (code: DenialCode, subject: string) => boolean;
  readonly signal: AbortSignal;
}

export interface Inspected {
  readonly commits: number;
  readonly objects: number;
  /** Of all new objects, unpacked. */
  readonly bytes: number;
  readonly unopened: readonly string[];
  /** The first paths it changes, for whoever reviews it. */
  readonly files: readonly string[];
  readonly fileCount: number;
}

export async function inspectPush(push: PushToInspect): Promise<Verdict<Inspected>> {
  try {
    const inspection = new Inspection(push);
    return await inspection.run();
  } catch (error) {
    return refuse(
      "inspection-failed",
      `the push could not be looked at: ${messageOf(error)}`,
      "all of it, or nothing",
    );
  }
}

/** Where a finding's blob was found by: its commit and path come when the changes are walked. */
interface Found {
  finding: GitFinding;
  readonly blob?: string;
}

const NOT_MORE_THAN_NAMED = 5;

class Inspection {
  readonly #push: PushToInspect;
  readonly #budget: Budget = { unpacked: 0, refusal: undefined };
  readonly #found = new Map<string, Found>();
  readonly #unopened = new Set<string>();
  readonly #rulesFiles: RulesFile[] = [];
  readonly #lfs: string[] = [];
  readonly #refusedPaths = new Map<string, { code: DenialCode; rule: string }>();
  readonly #changed: string[] = [];
  #commits = 0;
  #objects = 0;
  #bytes = 0;
  #files = 0;
  #names: { bytes: Buffer; change: Change }[] = [];
  #namesSize = 0;

  constructor(push: PushToInspect) {
    this.#push = push;
  }

  async run(): Promise<Verdict<Inspected>> {
    const { tips, refs } = this.#push;
    for (const ref of refs) {
      for (const finding of this.#push.inspector.scan(Buffer.from(ref))) this.#add(finding, { in: "ref" });
    }
    if (tips.length > 0) {
      await this.#lookAtAll();
      if (this.#budget.refusal !== undefined) return this.#budget.refusal;
      this.#inspectNames();
      // Most pushes hold nothing; those that do are looked at once more for where it came in.
      if (this.#unplaced().length > 0) await this.#findPlaces();
    }
    const verdict =
      this.#findings() ?? this.#pathRefusal() ?? this.#lfsRefusal() ?? (await this.#rulesRefusal());
    if (verdict !== undefined) return verdict;
    return allow({
      commits: this.#commits,
      objects: this.#objects,
      bytes: this.#bytes,
      unopened: [...this.#unopened],
      files: this.#changed,
      fileCount: this.#files,
    });
  }

  async #lookAtAll(): Promise<void> {
    const { git, place, tips, limits, signal } = this.#push;
    const running = listPush(git, place, { tips, paths: limits.files }, signal);
    const { stdout, more } = running;
    if (more === undefined) throw new Error("a list of half of it");
    await this.#read(running, [
      readObjects(stdout, this.#sink()),
      readChanges(more, (change) => this.#change(change)),
    ]);
  }

  async #findPlaces(): Promise<void> {
    const { git, place, tips, limits, signal } = this.#push;
    const running = listChanges(git, place, { tips, paths: limits.files }, signal);
    await this.#read(running, [readChanges(running.stdout, (change) => this.#place(change))]);
  }

  /** To the end of all, unless one has had enough. */
  async #read(running: Running, readers: readonly Promise<void>[]): Promise<void> {
    let failure: unknown;
    await Promise.all(readers).catch((error: unknown) => {
      failure = error ?? new Error("it could not be read");
    });
    running.kill();
    const { stderr } = await running.ended;
    if (failure !== undefined && ranOutOfMemory(stderr)) this.#refuseFiles();
    if (failure !== undefined && this.#budget.refusal === undefined) throw failure;
  }

  // --- objects ---

  #sink(): ObjectSink {
    let current: Content | undefined;
    return {
      begin: (head) => {
        if (!this.#admit(head)) return false;
        current = this.#open(head);
        return true;
      },
      data: (bytes) => current?.push(bytes),
      end: () => current?.end(),
    };
  }

  #admit({ type, size, path }: ObjectHead): boolean {
    const { limits } = this.#push;
    this.#objects += 1;
    this.#bytes += size;
    if (type === "commit") this.#commits += 1;
    const shown = (): string => this.#shown(path);
    const over = (code: DenialCode, reason: string, rule: string): boolean => {
      this.#budget.refusal ??= refuse(code, reason, rule);
      return false;
    };
    if (this.#objects > limits.objects) {
      return over(
        "too-many-objects",
        "the push brings too many objects",
        `at most ${limits.objects} in a push`,
      );
    }
    if (type === "blob" && size > limits.fileBytes) {
      return over(
        "file-too-large",
        `${shown()} has ${size} bytes`,
        `at most ${limits.fileBytes} bytes a file`,
      );
    }
    if (type !== "blob" && size > LIMITS.objectBytes) {
      return over(
        "object-too-large",
        `a ${type} has ${size} bytes`,
        `at most ${LIMITS.objectBytes} bytes a ${type}`,
      );
    }
    if (this.#bytes > LIMITS.inspectedBytes) {
      return over(
        "too-many-objects",
        "the push unpacks to too much",
        `at most ${LIMITS.inspectedBytes} bytes in a push`,
      );
    }
    return this.#budget.refusal === undefined;
  }

  #open(head: ObjectHead): Content {
    switch (head.type) {
      case "blob":
        return this.#openBlob(head);
      case "tree":
        return this.#openTree(head);
      case "commit":
      case "tag": {
        // As stored: message, author, committer, trailers, signatures, headers that nothing shows.
        const where = { in: head.type, ...(head.type === "commit" && { commit: head.id }) };
        const text = inspectText(this.#push.inspector, head.size, (finding) => this.#add(finding, where));
        return { push: (bytes) => void text.push(bytes), end: () => void text.end() };
      }
    }
  }

  #openBlob({ id, size, path }: ObjectHead): Content {
    const { inspector } = this.#push;
    const content = inspectContent(
      {
        inspector,
        budget: this.#budget,
        path: () => this.#shown(path),
        unopened: (format) => {
          if (this.#unopened.size < LIMITS.toldUnopened)
            this.#unopened.add(`${this.#shown(path)} (${format})`);
        },
        found: (finding, line, inside) => {
          const members = inside.map((member) => shownBytes(inspector, Buffer.from(member)));
          this.#add(
            finding,
            { in: "file", path: this.#shown(path), ...(members.length > 0 ? { inside: members } : { line }) },
            id,
          );
        },
      },
      size,
    );
    let first = true;
    return {
      push: (bytes) => {
        if (first && isLfsPointer(bytes, size)) this.#lfs.push(path);
        first = false;
        return content.push(bytes);
      },
      end: () => content.end(),
    };
  }

  /** Names of what no change of a path shows: of empty folders. */
  #openTree({ id, path }: ObjectHead): Content {
    const parts: Buffer[] = [];
    return {
      push: (bytes) => void parts.push(bytes),
      end: () => {
        const names = treeNames(Buffer.concat(parts), id.length / 2);
        for (const finding of this.#push.inspector.scan(names)) {
          this.#add(finding, { in: "path", path: this.#shown(path) });
        }
      },
    };
  }

  // --- paths ---

  #refuseFiles(): void {
    this.#budget.refusal ??= refuse(
      "too-many-files",
      "the push changes too many paths",
      `at most ${this.#push.limits.files} in a push`,
    );
  }

  #change(change: Change): boolean {
    const { limits, paths, excepted } = this.#push;
    this.#files += 1;
    if (this.#files > limits.files) {
      this.#refuseFiles();
      return false;
    }
    if (change.path.length > LIMITS.pathBytes) {
      this.#budget.refusal ??= refuse(
        "path-not-allowed",
        `the path ${this.#shown(change.path)} is too long`,
        `at most ${LIMITS.pathBytes} bytes a path`,
      );
    }
    // Or the other look ended early.
    if (this.#budget.refusal !== undefined) return false;
    if (this.#changed.length < LIMITS.toldReview)
      this.#changed.push(`${change.letter} ${this.#shown(change.path)}`);
    const path = Buffer.from(change.path, "latin1").toString("utf8");
    const verdict = paths.judge(path, !change.mode.startsWith("100") && change.id !== undefined);
    if (!verdict.allow && !excepted(verdict.code, path) && this.#refusedPaths.size < LIMITS.toldFindings) {
      this.#refusedPaths.set(change.path, verdict);
    }
    const kind = rulesFileKind(foldPath(path));
    if (
      kind !== undefined &&
      change.id !== undefined &&
      change.mode.startsWith("100") &&
      !paths.lifted(path)
    ) {
      this.#rulesFiles.push({ kind, path: change.path, id: change.id, before: change.before });
    }
    const bytes = Buffer.from(change.path, "latin1");
    this.#names.push({ bytes, change });
    this.#namesSize += bytes.length + 1;
    if (this.#namesSize > NAMES_BYTES) this.#inspectNames();
    return true;
  }

  #unplaced(): Found[] {
    return [...this.#found.values()].filter(
      ({ blob, finding }) => blob !== undefined && finding.commit === undefined,
    );
  }

  /** Oldest first: the commit that brought it, and the path it had there. False when all have theirs. */
  #place(change: Change): boolean {
    const unplaced = this.#unplaced();
    for (const found of unplaced) {
      if (found.blob !== change.id) continue;
      found.finding = { ...found.finding, commit: change.commit, path: this.#shown(change.path) };
    }
    return unplaced.length > 0;
  }

  #inspectNames(): void {
    const { inspector } = this.#push;
    const names = this.#names;
    const joined = Buffer.concat(names.flatMap(({ bytes }) => [bytes, Buffer.from("\n")]));
    inspectJoined(inspector, joined, (finding, line) => {
      const change = names[line - 1]?.change;
      this.#add(finding, {
        in: "path",
        ...(change !== undefined && { path: this.#shown(change.path), commit: change.commit }),
      });
    });
    this.#names = [];
    this.#namesSize = 0;
  }

  // --- verdicts ---

  #findings(): Refusal | undefined {
    const all = [...this.#found.values()];
    if (all.length === 0) return undefined;
    const findings = all.map(({ finding }) => finding);
    // What sidecars hold and what was planted is nobody's to let go.
    const subjects = [
      ...new Set(
        findings.filter(({ kind }) => isExceptable(kind)).map(({ rule, mark }) => `${rule}:${mark}`),
      ),
    ];
    const count = findings.length === 1 ? "a value" : `${findings.length} values`;
    return refuse(
      "secret-found",
      `the push holds ${count} that must not leave; rewrite the commits that hold it (a later commit that removes it leaves it in the history)`,
      [...new Set(findings.map(({ rule }) => rule))].join(", "),
      { findings: findings.slice(0, LIMITS.toldFindings), subjects },
    );
  }

  #pathRefusal(): Refusal | undefined {
    const [first] = this.#refusedPaths.values();
    if (first === undefined) return undefined;
    const paths = [...this.#refusedPaths.keys()];
    const subjects = paths.map((path) => this.#shown(path));
    return refuse(first.code, `${this.#several(paths)} may not be changed`, first.rule, { subjects });
  }

  #lfsRefusal(): Refusal | undefined {
    const { excepted } = this.#push;
    const paths = this.#lfs.filter(
      (path) => !excepted("lfs-pointer", Buffer.from(path, "latin1").toString("utf8")),
    );
    if (paths.length === 0) return undefined;
    return refuse(
      "lfs-pointer",
      `${this.#several(paths)} is a pointer to a file in Git LFS, which the gate does not carry; commit the file itself`,
      "no LFS pointers",
      { subjects: paths.slice(0, LIMITS.toldFindings).map((path) => this.#shown(path)) },
    );
  }

  async #rulesRefusal(): Promise<Refusal | undefined> {
    const { git, place, signal, excepted } = this.#push;
    const ids = [...new Set(this.#rulesFiles.flatMap(({ id, before }) => [id, ...before]))];
    const texts = await readBlobs(git, place, ids, signal);
    for (const file of this.#rulesFiles) {
      const line = newRule(file, texts);
      const code = file.kind === "attributes" ? "attributes-filter" : "submodule-url";
      const path = Buffer.from(file.path, "latin1").toString("utf8");
      if (line === undefined || excepted(code, path)) continue;
      const shown = shownBytes(this.#push.inspector, Buffer.from(line, "latin1"));
      return refuse(code, `${this.#shown(file.path)} has a new line "${shown}"`, RULES[code], {
        subjects: [this.#shown(file.path)],
      });
    }
    return undefined;
  }

  #add(finding: Finding, where: Omit<GitFinding, "rule" | "kind" | "mark" | "through">, blob?: string): void {
    const { detector: rule, kind, fingerprint: mark, through } = finding;
    if (isExceptable(kind) && this.#push.excepted("secret-found", `${rule}:${mark}`)) return;
    const key = [rule, mark, where.in, blob ?? where.commit ?? ""].join(" ");
    if (this.#found.has(key) || this.#found.size >= MOST_FINDINGS) return;
    this.#found.set(key, {
      finding: { rule, kind, mark, ...where, ...(through.length > 0 && { through: [...through] }) },
      ...(blob !== undefined && { blob }),
    });
  }

  #several(paths: readonly string[]): string {
    const named = paths.slice(0, NOT_MORE_THAN_NAMED).map((path) => this.#shown(path));
    const more = paths.length > named.length ? ` and ${paths.length - named.length} more` : "";
    return named.join(", ") + more;
  }

  /** Fit to be told and kept: a path can hold what must not leave. */
  #shown(path: string): string {
    return path === "" ? "(no path)" : shownBytes(this.#push.inspector, Buffer.from(path, "latin1"));
  }
}

/** Paths looked at together. */
const NAMES_BYTES = 256 * 1024;
/** Beyond these the push is refused all the same. */
const MOST_FINDINGS = 1_000;

const RULES = {
  "attributes-filter": "no new filter, diff or merge driver in .gitattributes",
  "submodule-url": "no new URL or update command in .gitmodules",
} as const;

function isExceptable(kind: string): boolean {
  return kind === "pattern" || kind === "rule";
}

function inspectJoined(
  inspector: Inspector,
  joined: Buffer,
  found: (finding: Finding, line: number) => void,
): void {
  const text = inspectText(inspector, joined.length, found);
  text.push(joined);
  text.end();
}
