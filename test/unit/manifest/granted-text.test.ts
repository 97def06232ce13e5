import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { Ask } from "../../../src/contract/approvals.ts";
import { textWithGrant } from "../../../src/manifest/granted-text.ts";

const ID = "worker-00000";
const HOST: Ask = {
  kind: "host",
  host: "api.x.test",
  methods: ["GET", "POST"],
  paths: [{ type: "prefix", value: "/v1" }],
};
const REFS: Ask = {
  kind: "repository",
  repo: "app",
  refs: ["refs/heads/main", `refs/heads/bottle/${ID}/x`],
  force: false,
  delete: false,
};

function written(yaml: string, ask: Ask = HOST): string {
  const text = textWithGrant(`---\n${yaml}---\nbody ---\n`, ask, ID);
  if (!text.ok) throw new Error(text.reason);
  expect(text.value.startsWith("---\n")).toBe(true);
  expect(text.value.endsWith("---\nbody ---\n")).toBe(true);
  return text.value.slice(4, -"---\nbody ---\n".length);
}

const MATCH = `- paths:
    - type: prefix
      value: /v1
  methods:
    - GET
    - POST
`;

function indented(text: string, by: number): string {
  return text.replace(/^(?=.)/gm, " ".repeat(by));
}

describe("a grant written into a bottle's file", () => {
  it("changes nothing else: not a comment, a quote, an order or a blank line", () => {
    const before = `# mine
egress:   # what may be reached
  routes:

    - host: "first.test"   # why

      matches:
      - {methods: [GET]}   # only this
    # about the next
    - host: second.test
  log: 2

env: {A: 'b'}
`;
    const after = written(before);
    expect(after).toBe(
      before.replace(
        "    - host: second.test\n",
        `    - host: second.test\n    - host: api.x.test\n      matches:\n${indented(MATCH, 8)}`,
      ),
    );
  });

  it("adds to the rules of a host that has some", () => {
    const before =
      "egress:\n  routes:\n  - host: api.x.test\n    matches:\n    - methods: [PUT] # so far\n  - host: z.test\n";
    expect(written(before)).toBe(before.replace("[PUT] # so far\n", `[PUT] # so far\n${indented(MATCH, 4)}`));
  });

  it.each([
    ["{}\n", '{"egress": {"routes":[{"host":"api.x.test"'],
    ["", "egress:\n  routes:\n    - host: api.x.test\n"],
    ["# nothing yet\n", "# nothing yet\negress:\n  routes:\n"],
    ["env: {}\n", "env: {}\negress:\n  routes:\n"],
    ["egress:\n  log: 0 # quiet\n", "egress:\n  log: 0 # quiet\n  routes:\n    - host: api.x.test\n"],
    ["egress: {routes: [{host: a.test}]}\n", 'egress: {routes: [{host: a.test}, {"host":"api.x.test"'],
    ["egress: {routes: []}\n", 'egress: {routes: [{"host":"api.x.test"'],
    ["egress: { log: 1 }\n", 'egress: { log: 1, "routes": [{"host"'],
    [
      "egress:\r\n  routes:\r\n  - host: a.test\r\n",
      "egress:\r\n  routes:\r\n  - host: a.test\r\n  - host: api.x.test\r\n    matches:\r\n",
    ],
  ])("finds its place in %j", (before, beginning) => {
    const text = textWithGrant(`---\n${before}---\n`, HOST, ID);
    expect(text.ok && text.value.slice(4).startsWith(beginning)).toBe(true);
  });

  it("takes the wildcard's rules and credential along, whose place it takes", () => {
    const before =
      "egress:\n  routes:\n    - host: '*.x.test'\n      auth: {scheme: Bearer, token_ref: T}\n      matches: [{methods: [PUT]}]\n";
    expect(parse(written(before)).egress.routes[1]).toEqual({
      auth: { scheme: "Bearer", token_ref: "T" },
      host: "api.x.test",
      matches: [
        { methods: ["PUT"] },
        { paths: [{ type: "prefix", value: "/v1" }], methods: ["GET", "POST"] },
      ],
    });
  });

  it("adds refs, with the bottle's id as every bottle's, and with what was allowed without any", () => {
    const listed =
      "git-gate:\n  repos:\n    app:\n      url: u\n      refs: [refs/heads/x] # few\n      review: true\n";
    expect(written(listed, REFS)).toBe(
      listed.replace("[refs/heads/x]", '[refs/heads/x, "refs/heads/main", "refs/heads/bottle/{id}/x"]'),
    );
    const silent = "git-gate:\n  repos:\n    app:\n      url: u # here\n    other:\n      url: v\n";
    expect(parse(written(silent, { ...REFS, force: true, delete: true }))["git-gate"].repos.app.refs).toEqual(
      [
        "refs/heads/bottle/{id}/*",
        { ref: "refs/heads/main", force: true, delete: true },
        { ref: "refs/heads/bottle/{id}/x", force: true, delete: true },
      ],
    );
    expect(textWithGrant("---\ngit-gate: {}\n---\n", REFS, ID)).toMatchObject({ ok: false });
  });

  it.each([
    ["no front matter\n"],
    ["---\negress: [\n---\n"],
    ["---\negress:\n---\n"],
    ["---\n- a list\n---\n"],
    ["---\negress: &a {routes: 5}\nx: *a\n---\n"],
  ])("refuses or leaves to the check what it cannot place: %j", (text) => {
    const result = textWithGrant(text, HOST, ID);
    if (result.ok) expect(result.value.length).toBeGreaterThan(text.length);
    else expect(result.reason).not.toBe("");
  });

  it("holds what a repository's rules except, as the denial named it, below what was excepted before", () => {
    const paths: Ask = {
      kind: "git-exception",
      repo: "app",
      code: "path-protected",
      subjects: [".github/workflows/x.yml", `${ID}/CODEOWNERS`],
    };
    const repo = "git-gate:\n  repos:\n    app:\n      url: ~/app.git # mine\n";
    const once = written(repo, paths);
    const first = { code: "path-protected", subjects: paths.subjects };
    expect(once).toContain("url: ~/app.git # mine\n");
    expect(parse(once)).toEqual({
      "git-gate": { repos: { app: { url: "~/app.git", exceptions: [first] } } },
    });
    const ref = `refs/heads/bottle/${ID}-x`;
    const twice = written(once, { ...paths, code: "ref-not-allowed", subjects: [ref] });
    // Of another bottle the ref has another name, and a path has not.
    const second = { code: "ref-not-allowed", subjects: ["refs/heads/bottle/{id}-x"] };
    expect(parse(twice)).toMatchObject({ "git-gate": { repos: { app: { exceptions: [first, second] } } } });
    expect(written("git-gate: {repos: {app: {url: x}}}\n", paths)).toContain('"exceptions": [{"code":');
    expect(textWithGrant("---\negress: {}\n---\n", paths, ID)).toMatchObject({ ok: false });
  });

  it.each([
    { kind: "finding", host: "a.test", detector: "d", finding: "f" },
    { kind: "git-exception", repo: "app", code: "secret-found", subjects: ["d:f"] },
  ] satisfies Ask[])("names no value that was found: $kind", (ask) => {
    const text = "---\ngit-gate: {repos: {app: {url: x}}}\n---\n";
    expect(textWithGrant(text, ask, ID)).toEqual({
      ok: false,
      reason: expect.stringContaining("the key of its mark ends with the bottle"),
    });
  });

  it("holds, of any honest file, all that was there in its order, and one route more", () => {
    const key = fc.stringMatching(/^[a-z]{1,8}$/);
    const file = fc.record({
      hosts: fc.uniqueArray(key, { maxLength: 5 }),
      flow: fc.boolean(),
      indent: fc.integer({ min: 1, max: 4 }),
      comments: fc.boolean(),
      others: fc.dictionary(
        key.filter((name) => name !== "egress"),
        fc.oneof(fc.string(), fc.integer(), fc.array(key)),
      ),
    });
    fc.assert(
      fc.property(file, ({ hosts, flow, indent, comments, others }) => {
        const pad = " ".repeat(indent);
        const note = comments ? "  # a: [b" : "";
        const items = hosts.map((host) => `${pad}${pad}- host: ${host}.test${note}\n`).join("");
        const routes =
          flow || hosts.length === 0
            ? `${pad}routes: [${hosts.map((host) => `{host: ${host}.test}`).join(", ")}]${note}\n`
            : `${pad}routes:${note}\n${items}`;
        const rest = Object.entries(others).map(
          ([name, value]) => `${name}: ${JSON.stringify(value)}${note}\n`,
        );
        const before = `${rest.slice(0, 1).join("")}egress:\n${routes}${rest.slice(1).join("")}`;
        const [was, is] = [parse(before), parse(written(before))];
        expect(is.egress.routes).toEqual([
          ...was.egress.routes,
          expect.objectContaining({ host: "api.x.test" }),
        ]);
        expect({ ...is, egress: null }).toEqual({ ...was, egress: null });
      }),
    );
  });
});
