import { describe, expect, it } from "vitest";
import { answerHead } from "../../../src/sidecars/egress/response/head.ts";
import { readHead } from "../../../src/sidecars/egress/rules/head.ts";

function read(...raw: string[]) {
  const head = readHead(raw, 10);
  return head.allow ? head.value : head.code;
}

describe("a request's headers", () => {
  it("end here when they are about the connection, by name or by nomination", () => {
    const head = read(
      "Connection",
      "x-one, X_Two",
      "X-One",
      "1",
      "X-Two",
      "2",
      "Proxy-Connection",
      "a",
      "X-Three",
      "3",
    );
    expect(head).toMatchObject({ names: ["", "", "", "", "x-three"] });
  });

  it.each([
    "Connection",
    "HTTP2-Settings",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Content-Length",
    "Expect",
    "Host",
  ])("that are called %s end here, in any spelling", (name) => {
    const value = name === "Transfer-Encoding" ? "chunked" : "1";
    for (const spelling of [name, name.toUpperCase(), name.replaceAll("-", "_")])
      expect(read(spelling, value, "X-Other", "1")).toMatchObject({ names: ["", "x-other"] });
  });

  it("by which a server acts on something else are noted, and go on", () => {
    const names = [
      "x-http-method",
      "x-http-method-override",
      "x-method-override",
      "x-original-url",
      "x-rewrite-url",
    ];
    expect(read(...names.flatMap((name) => [name.replaceAll("-", "_"), "1"]))).toMatchObject({
      overrides: names,
      names,
    });
  });

  it.each<[string, string[]]>([
    ["two lengths", ["Content-Length", "1", "Content-Length", "2"]],
    ["a length in words", ["Content-Length", "0x10"]],
    ["a negative length", ["Content-Length", "-1"]],
    ["a list of lengths", ["Content-Length", "1, 1"]],
    ["a length and chunks", ["Content-Length", "1", "Transfer-Encoding", "chunked"]],
    ["chunks and a length", ["Transfer-Encoding", "chunked", "Content-Length", "1"]],
    ["another coding", ["Transfer-Encoding", "gzip, chunked"]],
    ["chunked twice", ["Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked"]],
    ["chunked with a tail", ["Transfer-Encoding", "chunked;x"]],
  ])("are refused with %s", (_what, raw) => {
    expect(read(...raw)).toBe("framing-refused");
  });

  it("in another spelling have no say and are not passed on", () => {
    expect(read("Content_Length", "5", "Transfer_Encoding", "chunked")).toMatchObject({
      names: ["", ""],
      contentLength: undefined,
      chunked: false,
    });
  });

  it("are bounded in number", () => {
    const many = Array.from({ length: 11 }, (_, i) => [`x-${i}`, "1"]).flat();
    expect(read(...many)).toBe("head-too-large");
  });

  it("tell every Host", () => {
    expect(read("Host", "a", "host", "b")).toMatchObject({ hosts: ["a", "b"] });
  });
});

describe("an answer's headers", () => {
  const answer = (raw: string[], status = 200, method = "GET") => {
    const stated = answerHead({ status, phrase: "OK", isOld: false, rawHeaders: raw }, method);
    return stated.allow ? { ...stated.value, ...stated.value.head } : stated.code;
  };

  it("lose what is about the upstream's connection, what leads past egress and what egress alone says", () => {
    const raw = [
      "Connection",
      "close, X-Hop",
      "X-Hop",
      "1",
      "Alt-Svc",
      "h3",
      "X-Bottle-Denied",
      "no",
      "X-Kept",
      "1",
    ];
    expect(answer(raw)).toMatchObject({ headers: ["X-Kept", "1"], persistent: false });
  });

  it.each<[string, string[]]>([
    ["two lengths", ["Content-Length", "1", "Content-Length", "2"]],
    ["a length and chunks", ["Content-Length", "1", "Transfer-Encoding", "chunked"]],
    ["another coding", ["Transfer-Encoding", "gzip"]],
  ])("are refused with %s", (_what, raw) => {
    expect(answer(raw)).toBe("upstream-protocol");
  });

  it("keep a length where no body follows, but for 204", () => {
    const raw = ["Content-Length", "5"];
    expect(answer(raw, 200, "HEAD")).toMatchObject({
      headers: raw,
      bodyless: true,
      framing: { kind: "none" },
    });
    expect(answer(raw, 304)).toMatchObject({ headers: raw, bodyless: true, framing: { kind: "none" } });
    expect(answer(raw, 204)).toMatchObject({ headers: [], bodyless: true, framing: { kind: "none" } });
  });
});
