import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PlannedRepo } from "../../../src/contract/repository.ts";
import { spellingsOf } from "../../../src/plan/upstream-url.ts";
import { gateConfigFile } from "../../../src/provision/gate-config.ts";

const GATE = "http://127.0.0.1:9420";
/** What forges let names be made of. */
const name = fc
  .stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,8}$/)
  .filter((text) => !/\.(git|lock)$|\.\.|\.$/i.test(text));

function repo(id: string, owner: string, project: string): PlannedRepo {
  return {
    ...{ name: id, limits: {}, review: false, paths: { only: [], unprotect: [] } },
    upstream: {
      ...{ kind: "ssh", user: "git", host: "forge.example", port: 22, path: `${owner}/${project}.git` },
      ...{ key: { kind: "agent" }, hostKeys: ["ssh-ed25519 AAAA"] },
    },
  };
}

/** As git does it: of all beginnings that fit, the longest is replaced. */
function rewriter(repos: readonly PlannedRepo[]): (url: string) => string {
  const rules: { readonly from: string; readonly to: string }[] = [];
  let to = "";
  for (const line of gateConfigFile({ url: GATE, bearer: "b", repos }).content.split("\n")) {
    to = /^\[url "(.*)"\]$/.exec(line)?.[1] ?? to;
    const from = /^\tinsteadOf = "(.*)"$/.exec(line)?.[1];
    if (from !== undefined) rules.push({ from, to });
  }
  return (url) => {
    const [best] = rules
      .filter(({ from }) => url.startsWith(from))
      .sort((a, b) => b.from.length - a.from.length);
    return best === undefined ? url : best.to + url.slice(best.from.length);
  };
}

describe("the guest's git settings", () => {
  it("lead every spelling of a repository to it, and none of another one's, whatever they are called", () => {
    const distinct = fc.uniqueArray(name, {
      minLength: 3,
      maxLength: 3,
      selector: (text) => text.toLowerCase(),
    });
    // The neighbour of a repository is what git would take for it.
    const suffix = fc.stringMatching(/^[A-Za-z0-9_.-]{0,4}[A-Za-z0-9_-]$/);
    fc.assert(
      fc.property(name, distinct, suffix, (owner, [one = "", two = "", three = ""], more) => {
        const repos = [repo("first", owner, one), repo("second", owner, two)];
        const rewrite = rewriter(repos);
        for (const each of repos) {
          for (const url of spellingsOf(each.upstream).all)
            expect(rewrite(url)).toBe(`${GATE}/${each.name}.git`);
        }
        const others = [three, `${one}${more}`, `${one}.git${more}`].filter(
          (other) => ![one, two].some((own) => other === own || other === `${own}.git`),
        );
        for (const other of others) {
          for (const url of [
            `https://forge.example/${owner}/${other}`,
            `https://forge.example/${owner}/${other}.git`,
          ])
            expect(rewrite(url)).toBe(url);
        }
      }),
      // One whose name is another's and one character more.
      { numRuns: 60, examples: [["a", ["0", "0-", "A"], "0"]] },
    );
  });

  it("are one file, whatever a name holds: nothing in them ends a line or a quotation", () => {
    const { content, mode } = gateConfigFile({ url: GATE, bearer: "b", repos: [repo("a", "o", "p")] });
    expect(mode).toBe(0o600);
    for (const line of content.trimEnd().split("\n"))
      expect(line).toMatch(/^(\[(http|push|url)( "[^"\\]*")?\]|\t[A-Za-z]+ = "[^"\\]*")$/);
  });
});
