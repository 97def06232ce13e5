import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { faultOfPath, isAmbiguous } from "../../../src/sidecars/egress/rules/path.ts";

describe("a path that no route takes", () => {
  it.each([
    "",
    "a",
    "*",
    "?x",
    "/a b",
    "/a\tb",
    "/a\0b",
    "/a\x7f",
    "/é",
    "/a\\b",
    "/a#b",
    "/%",
    "/%4",
    "/%zz",
    "/%u002e",
    "/a%00b",
    "/..",
    "/.",
    "/a/..",
    "/a/../b",
    "/a/./b",
    "/a/%2e%2e/b",
    "/a/%2E./b",
    "/a/.%2e",
    "/a/..;/b",
    "/a/..;x=1/b",
    "/a/%2e%2e;/b",
    "/a/.;",
    "/../?q",
  ])("%j", (path) => {
    expect(faultOfPath(path)).toBeTypeOf("string");
  });
});

describe("a path that may be taken", () => {
  it.each([
    "/",
    "/a/b.c",
    "/...",
    "/a/..b/c..",
    "/.well-known/x",
    "/a//b",
    "/@scope%2fname",
    "/a;b",
    "/a%20b",
    "/?..//\u0021",
    "/a?x=%zz/../",
    "/~user/$&'()*+,=:@!",
  ])("%j", (path) => {
    expect(faultOfPath(path)).toBeUndefined();
  });
});

describe("an ambiguous path", () => {
  it.each([
    "//a",
    "/a//b",
    "/a;b",
    "/a/;",
    "/a%2fb",
    "/a%2Fb",
    "/a%5cb",
    "/a%25b",
    "/a%252e%252e",
    "/%61dmin",
    "/a%2db",
    "/a%7e",
    "/a%0ab",
    "/a%7f",
    "/a%3bb",
    "/%c0%ae%c0%ae/b",
    "/%c0%afb",
    "/%ff",
    "/%e0%80%af",
  ])("%j", (path) => {
    expect(isAmbiguous(path)).toBe(true);
  });

  it.each(["/", "/a/b", "/a%20b", "/%C3%A9", "/%e2%82%ac", "/a%3Ab%40c", "/a.b-c_d~e", "/%22x%22"])(
    "is not %j",
    (path) => {
      expect(isAmbiguous(path)).toBe(false);
    },
  );
});

describe("a path that is taken and not ambiguous", () => {
  /** What servers are known to do with a path before they look at it. */
  function readings(path: string): string[] {
    const steps: ((text: string) => string)[] = [
      (text) => decodeURIComponent(text),
      (text) => text.replace(/;[^/]*/g, ""),
      (text) => text.replace(/\/{2,}/g, "/"),
      (text) => text.replaceAll("\\", "/"),
      (text) => new URL(text.startsWith("//") ? `/.${text}` : text, "http://h").pathname,
    ];
    let texts = [path];
    for (const step of [...steps, ...steps]) texts = texts.flatMap((text) => [text, attempt(step, text)]);
    return [...new Set(texts)];
  }

  function attempt(step: (text: string) => string, text: string): string {
    try {
      return step(text);
    } catch {
      return text;
    }
  }

  const part = fc.constantFrom(
    ..."ab/.;%\\",
    "..",
    "//",
    "%2e",
    "%2F",
    "%5c",
    "%25",
    "%252e",
    "%61",
    "%00",
    "%c0%af",
    "%c3%a9",
    "admin",
    "public",
  );
  const hostile = fc.array(part, { maxLength: 8 }).map((parts) => `/public/${parts.join("")}`);

  it("stays below its first segment, however a server reads it", () => {
    let passed = 0;
    fc.assert(
      fc.property(hostile, (path) => {
        if (faultOfPath(path) !== undefined || isAmbiguous(path)) return;
        passed++;
        for (const reading of readings(path)) expect(reading).toMatch(/^\/public(?:\/|$)/);
      }),
      { numRuns: 5_000 },
    );
    expect(passed).toBeGreaterThan(200);
  });

  it("is what a decoding server sees, but for escapes that no path can do without", () => {
    fc.assert(
      fc.property(hostile, (path) => {
        if (faultOfPath(path) !== undefined || isAmbiguous(path)) return;
        const decoded = decodeURIComponent(path);
        expect(decoded.split("/").length).toBe(path.split("/").length);
        expect(decodeURIComponent(encodeURI(decoded))).toBe(decoded);
      }),
      { numRuns: 2_000 },
    );
  });
});
