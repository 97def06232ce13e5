import { describe, expect, it } from "vitest";
import { isPlainName, planRefs } from "../../../src/provision/workspace/work-refs.ts";

const oid = (digit: string): string => digit.repeat(40);
const plan = (...names: readonly string[]): string[] =>
  planRefs(
    { refs: names.map((name, index) => ({ name, oid: oid(String((index % 9) + 1)) })), detached: undefined },
    new Set(),
  ).refs.map(({ name }) => name);

describe("a name that may stay as it is", () => {
  it.each(["main", "feature/x", "fix#12", "v1.0", "user@host", "a_b-c+d=e", "1"])("%s", (name) =>
    expect(isPlainName(name)).toBe(true),
  );

  it.each([
    "",
    "-x",
    "a/-x",
    ".x",
    "a/.x",
    "a..b",
    "a@{1}",
    "@",
    "a/@",
    "x.lock",
    "x.LOCK",
    "a/x.lock/b",
    "x.",
    "a//b",
    "/a",
    "a/",
    "a b",
    "a~1",
    "a^",
    "a:b",
    "a?",
    "a*",
    "a[",
    "a\\b",
    "a\u0000b",
    "a\u007f",
    "a$x",
    "a;b",
    "a`b`",
    "a'b",
    'a"b',
    "a|b",
    "a&b",
    "a<b",
    "ü",
    "n".repeat(201),
  ])("is not %j", (name) => expect(isPlainName(name)).toBe(false));
});

describe("refs for what the guest claims", () => {
  it("are below heads and tags, and nothing else is", () => {
    expect(
      plan("refs/heads/a", "refs/tags/b", "refs/stash", "refs/remotes/x/y", "refs/replace/z", "HEAD"),
    ).toEqual(["heads/a", "tags/b", "stash"]);
  });

  it("are only those that lead to something new", () => {
    const refs = [
      { name: "refs/heads/old", oid: oid("1") },
      { name: "refs/heads/new", oid: oid("2") },
    ];
    expect(planRefs({ refs, detached: oid("1") }, new Set([oid("1")])).refs).toEqual([
      { kind: "branch", name: "heads/new", oid: oid("2") },
    ]);
  });

  it("name a detached HEAD unless a branch leads there too", () => {
    const refs = [{ name: "refs/heads/a", oid: oid("1") }];
    expect(planRefs({ refs, detached: oid("1") }, new Set()).refs.map(({ name }) => name)).toEqual([
      "heads/a",
    ]);
    expect(planRefs({ refs, detached: oid("2") }, new Set()).refs.map(({ name }) => name)).toEqual([
      "heads/a",
      "detached",
    ]);
  });

  it("keep the commits of a branch whose name cannot stay", () => {
    expect(plan("refs/heads/$(x)")).toEqual([`heads/odd-${"1".repeat(16)}`]);
  });

  it("do not clash, also where case does not count", () => {
    expect(plan("refs/heads/a", "refs/heads/A", "refs/heads/a/b", "refs/tags/a")).toEqual([
      "heads/a",
      `heads/odd-${"2".repeat(16)}`,
      `heads/odd-${"3".repeat(16)}`,
      "tags/a",
    ]);
  });
});
