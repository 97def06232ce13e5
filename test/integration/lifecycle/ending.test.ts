/** The end of a bottle, of which its guest has a word too: git in it looks through files that it has filled. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";

let cli: BottleCli;
beforeAll(() => {
  cli = createBottleCli();
  cli.agent("sh", ["sh", "-c"]);
});
afterEach(() => cli.expectNothingLeft());
afterAll(() => cli.remove());

/** Asks egress for something, and writes down what came of it. */
const ASK = "curl -s -o /dev/null -w '%{http_code}\\n' http://denied.test/";
/** What it leaves behind is run by git for each file that is taken up. */
const AGENT = `
${ASK} >~/before
cat >~/filter <<'END'
${ASK} >>~/reached
cat
END
git init -q
git config filter.own.clean 'sh ~/filter'
echo '* filter=own' >.gitattributes
echo new >file
`;

describe("a bottle that ends", () => {
  it("has no way out any more while its work is taken out of it", async () => {
    const { code, stderr } = await cli.run(["start", "sh", "--yes", "-p", AGENT]);
    expect(code, stderr).toBe(0);
    const [id = ""] = cli.kept();
    const home = join(cli.home, "state", id, "home");
    expect(readFileSync(join(home, "before"), "utf8")).toBe("403\n");
    expect(existsSync(join(home, "reached"))).toBe(true);
    expect(new Set(readFileSync(join(home, "reached"), "utf8").trim().split("\n"))).toEqual(new Set(["000"]));
    expect((await cli.run(["diff", id])).stdout).toContain("+new");
  });
});
