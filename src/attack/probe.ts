/**
 * What a probe is: data. It says what is tried, in which program, what the answer must be inside of a bottle, and how it
 * is shown that the same program gets through where there is no bottle. Nothing in a probe names a backend; where
 * backends differ, it says what is seen without which capability, and why that is no hole.
 */

export const INVARIANTS = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10"] as const;
export type Invariant = (typeof INVARIANTS)[number];

/** In the order in which they are tried: what wears a bottle out comes late, and what is left of it last. */
export const GROUPS = [
  "addresses",
  "names",
  "protocols",
  "proxy",
  "exfiltration",
  "pushes",
  "files",
  "kernel",
  "own-parts",
  "operator",
  "resources",
  "aftermath",
] as const;
export type Group = (typeof GROUPS)[number];

/** `guest`: in the bottle. `neighbour`: in the bottle beside it. `host`: as the operator. */
export type Place = "guest" | "neighbour" | "host";

export interface Program {
  readonly language: "sh" | "node" | "perl";
  readonly text: string;
}

/** One program at one place; the last one of a list says what came of it. */
export interface Step extends Program {
  readonly at: Place;
}

/** What a bottle, or the machine that the suite runs on, has or has not. */
export interface Capabilities {
  /** The guest's kernel is the host's. */
  readonly sharedKernel: boolean;
  /** The guest's kernel is Linux, its own or the host's, and no other program that answers its calls. */
  readonly linux: boolean;
  /** Rarely used system calls are refused before the kernel's code for them is reached. */
  readonly syscallFilter: boolean;
  /** That filter is this project's own: an engine's default one lets pass what some of its containers need. */
  readonly ownFilter: boolean;
  /** Nothing of the host's /sys is shown, not even to be read. */
  readonly hiddenSys: boolean;
  readonly memoryLimit: boolean;
  readonly processLimit: boolean;
  /** A process can open no more files than this project says. */
  readonly fileLimit: boolean;
  /** Its programs run on the host's processor, and not on one that is emulated. */
  readonly nativeProcessor: boolean;
  /** Host and impostors are alone in a network without a way out. */
  readonly outerNetwork: boolean;
  /** Whoever runs the suite is root of the machine, or of a container that is one to him. */
  readonly hostRoot: boolean;
  readonly ipv6: boolean;
}

/** What is seen instead, where something is missing; shown as such. */
export interface Otherwise {
  /** All of them are missing; none named: wherever it is seen. */
  readonly without?: readonly (keyof Capabilities)[];
  /** Codes, or `got`. */
  readonly seen: readonly string[];
  readonly because: string;
}

export interface Probe {
  /** `group-what`, unique. */
  readonly id: string;
  readonly invariant: Invariant;
  readonly group: Group;
  /** What it tries, in one sentence. */
  readonly tries: string;
  readonly attack: readonly Step[];
  /** The codes with which it may be refused. */
  readonly refused: readonly string[];
  readonly otherwise?: readonly Otherwise[];
  /** Succeeds. `outside`: the same programs on the host, against the same targets and an obliging proxy. */
  readonly control: "outside" | readonly Step[];
  /** Where nobody can do it on this machine, and it is known why. */
  readonly controlOtherwise?: readonly Otherwise[];
  /** It passes the bundle, so its refusal says what, why and how to ask (I10). */
  readonly explained?: true;
  /** Why its end is no matter of a second. */
  readonly slow?: string;
  /** After the bottles are gone; its control then runs while they are there. */
  readonly after?: true;
  readonly timeoutMs?: number;
}

/** What came of one run of a probe's programs. */
export type Seen =
  | { readonly kind: "got"; readonly words: string; readonly ms: number }
  | {
      readonly kind: "refused";
      /** Several are joined by `+`. */
      readonly code: string;
      readonly words: string;
      readonly explained: boolean;
      /** Of the refusal alone, where the program could tell. */
      readonly refusalMs: number;
      readonly ms: number;
    }
  | { readonly kind: "not-run"; readonly words: string; readonly ms: number };

type ProbeMaker = (
  what: string,
  tries: string,
  attack: Probe["attack"],
  refused: readonly string[],
  more?: Partial<Probe>,
) => Probe;

/** What makes the probes of a group, whose ids begin with `word`: on the host the same succeeds, unless one says otherwise. */
export function probesOf(group: Group, word: string, common: Partial<Probe> = {}): ProbeMaker {
  return (what, tries, attack, refused, more = {}) => ({
    id: `${word}-${what}`,
    invariant: "I1",
    control: "outside",
    ...common,
    ...{ group, tries, attack, refused },
    ...more,
  });
}

export function sh(text: string, at: Place = "guest"): Step {
  return { at, language: "sh", text };
}

export function node(text: string, at: Place = "guest"): Step {
  return { at, language: "node", text };
}

export function perl(text: string, at: Place = "guest"): Step {
  return { at, language: "perl", text };
}
