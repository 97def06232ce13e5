/** Who an agent commits as: its manifest, else the operator for a folder of the operator's, else nobody. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";

const COMMIT =
  "cd ~/workspace; git init -q . && git commit -q --allow-empty -m x && git log -1 --format='%an <%ae> %cn <%ce>'";
const NOBODY = "bottle agent <agent@bottle.invalid>";
const OPERATOR = "Operator <operator@example.com>";

let cli: BottleCli;
let project: string;
beforeAll(async () => {
  cli = createBottleCli();
  project = await cli.repository("project");
  cli.agent("plain", ["sh", "-c"]);
  cli.agent("named", ["sh", "-c"], {
    bottle: { "git-gate": { user: { name: "Bot", email: "bot@example.com" } } },
  });
  cli.agent("half", ["sh", "-c"], { bottle: { "git-gate": { user: { name: "Bot" } } } });
});
afterEach(async () => {
  for (const id of cli.kept()) await cli.run(["rm", "--force", id]);
  await cli.expectNothingLeft();
});
afterAll(() => cli.remove());

/** Name and address of author and committer, and the preflight's words on them. */
async function identity(agent: string, ...flags: readonly string[]) {
  const { code, stdout, stderr } = await cli.run(["start", agent, "-p", COMMIT, ...flags]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const shown = /^ *commits as {2}(.*)$/m.exec(stderr)?.[1];
  return { commit: stdout.trim(), shown };
}

describe("an agent's commits are", () => {
  it("the operator's in a folder of theirs, as the preflight says", async () => {
    expect(await identity("plain", "--cwd", project)).toEqual({
      commit: `${OPERATOR} ${OPERATOR}`,
      shown: OPERATOR,
    });
  });

  it("of whom that folder's own settings name", async () => {
    const work = await cli.repository("work");
    await cli.git(work, "config", "user.email", "operator@work.example");
    const expected = "Operator <operator@work.example>";
    expect(await identity("plain", "--cwd", work)).toEqual({
      commit: `${expected} ${expected}`,
      shown: expected,
    });
  });

  it("nobody's without one: the agent is not told who the operator is", async () => {
    expect(await identity("plain")).toEqual({ commit: `${NOBODY} ${NOBODY}`, shown: undefined });
    const { stdout } = await cli.run([
      "start",
      "plain",
      "-p",
      "grep -rs operator@ ~ /etc; env | grep operator@; true",
    ]);
    expect(stdout).toBe("");
  });

  it("of whom the manifest names, whoever the operator is", async () => {
    const expected = "Bot <bot@example.com>";
    expect(await identity("named", "--cwd", project)).toEqual({
      commit: `${expected} ${expected}`,
      shown: expected,
    });
    expect((await identity("half", "--cwd", project)).commit).toBe(
      "Bot <agent@bottle.invalid> ".repeat(2).trim(),
    );
  });

  it.each([
    ["an address alone", "[user]\n\temail = operator@example.com\n"],
    ["a name that is two lines", '[user]\n\tname = "a\\nb"\n\temail = operator@example.com\n'],
    [
      "a name that ends where an address begins",
      '[user]\n\tname = "a <b@c>"\n\temail = operator@example.com\n',
    ],
    ["an endless name", `[user]\n\tname = ${"a".repeat(300)}\n\temail = operator@example.com\n`],
    ["a setting that cannot be read", "[user\n"],
  ])("nobody's when the operator has %s", async (_what, text) => {
    const folder = cli.write("odd/file", "x").replace(/\/file$/, "");
    cli.write("odd-config/git/config", text);
    const { code, stdout, stderr } = await cli.run(["start", "plain", "-p", COMMIT, "--cwd", folder], {
      env: { HOME: cli.path("odd-config"), XDG_CONFIG_HOME: cli.path("odd-config") },
    });
    expect({ code, stdout, stderr }).toMatchObject({ code: 0, stdout: `${NOBODY} ${NOBODY}\n` });
  });
});
