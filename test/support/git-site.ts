/** The upstream that `bottle attack` starts serves the tests too. */
export * from "../../src/attack/world/git-site.ts";
