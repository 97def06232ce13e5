/** A rule on paths in words, the same wherever a person or an agent reads it. */
import type { PathMatch } from "../contract/policy.ts";

/** `/a` alone, `/a/*` and all below, `~` and a pattern; `=/a/*` where the star is a star. */
export function pathInWords({ type, value }: PathMatch): string {
  switch (type) {
    case "exact":
      return value.includes("*") ? `=${value}` : value;
    case "prefix":
      return `${value.replace(/\/$/, "")}/*`;
    case "regex":
      return `~${value}`;
  }
}
