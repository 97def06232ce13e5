/**
 * Operators' own rules. Their patterns are nobody's we know, so they run in RE2, whose time is linear whatever the
 * pattern and the text. Loading it costs 100 ms: only who has rules pays.
 */
import { UserError } from "../lib/errors.ts";

/** An operator's own rule; RE2 syntax, over bytes as latin1. */
export interface OwnRule {
  readonly id: string;
  readonly pattern: string;
}

export interface RuleMatch {
  readonly id: string;
  readonly start: number;
  readonly end: number;
}

export interface RuleSet {
  find(text: string): RuleMatch[];
}

/** So many matches of one rule in one text say what is to be said. */
const MOST_MATCHES = 100;

/** Throws a UserError that names the rule whose pattern RE2 does not read, or that matches the empty text. */
export async function compileRules(rules: readonly OwnRule[]): Promise<RuleSet> {
  const { RE2JS } = await import("re2js");
  const compiled = rules.map(({ id, pattern }) => {
    try {
      const expression = RE2JS.compile(pattern);
      if (expression.matcher("").find()) throw new Error("it matches the empty text, and so every text");
      return { id, expression };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new UserError(`The rule ${id} cannot be used: ${reason}`, {
        hint: "Rules are regular expressions in RE2 syntax: https://github.com/google/re2/wiki/Syntax",
        cause: error,
      });
    }
  });
  return {
    find(text) {
      const matches: RuleMatch[] = [];
      for (const { id, expression } of compiled) {
        const matcher = expression.matcher(text);
        for (let i = 0; i < MOST_MATCHES && matcher.find(); i++) {
          const start = matcher.start();
          const end = matcher.end();
          if (end > start) matches.push({ id, start, end });
        }
      }
      return matches;
    },
  };
}
