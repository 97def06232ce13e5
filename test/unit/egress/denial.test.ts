import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { bearerCheck } from "../../../src/sidecars/egress/accept/bearer.ts";
import {
  DENIAL_STATUS,
  denialAnswer,
  denialOf,
  refuse,
  targetOf,
  wantsText,
} from "../../../src/sidecars/egress/denial.ts";

describe("a denial", () => {
  it("has one shape, and a ready-made call that asks for more", () => {
    const refusal = refuse("path-not-allowed", "no rule covers it", "route a.com: GET on /x/*");
    const subject = { method: "GET", scheme: "https", host: "a.com", path: "/y?token=1" };
    expect(denialOf(refusal, subject)).toEqual({
      denied: {
        code: "path-not-allowed",
        reason: "no rule covers it",
        target: "GET https://a.com/y",
        rule: "route a.com: GET on /x/*",
        ask: { tool: "request_access", arguments: { host: "a.com", method: "GET", path: "/y" } },
      },
    });
    expect(denialAnswer(refusal, subject)).toMatchObject({ status: 403 });
  });

  it("says the same on lines to git, which prints nothing but plain text", () => {
    const refusal = refuse("path-not-allowed", "no rule covers it", "route a.com: GET on /x/*");
    const subject = { method: "GET", scheme: "https", host: "a.com", path: "/y\n?token=1" };
    const { headers, body } = denialAnswer(refusal, subject, true);
    expect(headers.slice(0, 2)).toEqual(["Content-Type", "text/plain; charset=utf-8"]);
    expect(headers).toContain("x-bottle-denied");
    expect(body.split("\n")).toEqual([
      "denied: path-not-allowed: no rule covers it",
      "target: GET https://a.com/y\\u{a}",
      "rule: route a.com: GET on /x/*",
      'ask: request_access {"host":"a.com","method":"GET","path":"/y\\\\u{a}"}',
      "",
    ]);
  });

  it.each([
    [["User-Agent", "git/2.39.5"], true],
    [["accept", "*/*", "USER-AGENT", "git/2.50.1 (Apple Git-155)"], true],
    [["User-Agent", "curl/8.0"], false],
    [["User-Agent", "git-lfs/3.0"], false],
    [["User-Agent", "not git/2"], false],
    [["X-Name", "user-agent", "git/2.39.5", "x"], false],
    [[], false],
  ])("is on lines for %j: %s", (rawHeaders, expected) => {
    expect(wantsText(rawHeaders)).toBe(expected);
  });

  it("shows neither query nor control characters of what was asked for", () => {
    const text = targetOf({
      method: "GET\r\n",
      scheme: "https",
      host: "a\u001b[31m.com",
      path: "/\u202ex?secret=1",
    });
    expect(text).toMatch(/^[\x20-\x7e]*$/);
    expect(text).not.toContain("secret");
  });

  it("is bounded whatever was asked for", () => {
    const long = "x".repeat(100_000);
    const subject = { method: long, scheme: long, host: long, path: `/${long}` };
    expect(denialAnswer(refuse("host-invalid", "r", "r"), subject).body.length).toBeLessThan(4_000);
  });

  it("is listed in docs/egress.md, whatever its code", async () => {
    const docs = await readFile(new URL("../../../docs/egress.md", import.meta.url), "utf8");
    for (const [code, status] of Object.entries(DENIAL_STATUS)) {
      expect(docs).toMatch(new RegExp(`^\\| \`${code}\` \\| ${status} \\|`, "m"));
    }
  });
});

describe("the bottle's bearer", () => {
  const bearer = ["b", "earer-of-a-test"].join("");
  const check = bearerCheck(bearer);
  const basic = (pair: string) => `Basic ${Buffer.from(pair).toString("base64")}`;

  it.each([`Bearer ${bearer}`, `bearer  ${bearer} `, basic(`bottle:${bearer}`), basic(`:${bearer}`)])(
    "opens with %s",
    (header) => {
      expect(check(header)).toBeUndefined();
    },
  );

  it.each([
    undefined,
    "",
    "Bearer",
    "Bearer x",
    `Bearer ${bearer}x`,
    `Bearer ${bearer.slice(0, -1)}`,
    bearer,
    `Token ${bearer}`,
    basic(bearer.slice(1)),
    basic(`${bearer}:x`),
    `Bearer ${bearer} ${bearer}`,
  ])("does not open with %s", (header) => {
    expect(check(header)).toMatchObject({ code: "bearer-required" });
  });

  it("is not asked for where there is none", () => {
    expect(bearerCheck(undefined)(undefined)).toBeUndefined();
  });
});
