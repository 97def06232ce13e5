import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileEchoScrubber } from "../../../src/inspect/echo-scrubber.ts";

const TOKEN = `sk-${"live"}/${'Aa1+Bb2"Cc3&Dd4'}`;
const factory = compileEchoScrubber([TOKEN, "another-credential"]);

function scrubbed(...chunks: readonly (string | Buffer)[]): string {
  const scrubber = factory.open();
  const parts = chunks.map((chunk) => scrubber.push(Buffer.from(chunk as string)));
  return Buffer.concat([...parts, scrubber.end()]).toString();
}

describe("echo scrubber", () => {
  it.each([
    ["as it is", TOKEN],
    ["in JSON", JSON.stringify({ authorization: `Bearer ${TOKEN}` })],
    ["in PHP's JSON", JSON.stringify({ authorization: `Bearer ${TOKEN}` }).replaceAll("/", "\\/")],
    ["in a URL", `https://x.test/?key=${encodeURIComponent(TOKEN)}`],
    ["in HTML", `<p>${TOKEN.replace("&", "&amp;").replace('"', "&quot;")}</p>`],
    ["in hex", Buffer.from(TOKEN).toString("hex")],
    ["in base64", Buffer.from(TOKEN).toString("base64")],
    ["in Basic credentials", Buffer.from(`user:${TOKEN}`).toString("base64")],
    ["in base64url behind two bytes", Buffer.from(`u:${TOKEN}:x`).toString("base64url")],
  ])("takes a credential out %s, and keeps the length", (_, text) => {
    const out = scrubbed(text);
    expect(out).toHaveLength(text.length);
    expect(out).toMatch(/XXXXXXXX|00000000/);
    for (const decoded of [
      out,
      decodeURIComponent(out.replace(/%(?![0-9A-F]{2})/g, "")),
      Buffer.from(out, "base64").toString(),
    ])
      expect(decoded).not.toContain(TOKEN.slice(3, 12));
  });

  it("takes out every credential, and leaves all else alone", () => {
    expect(scrubbed(`a=another-credential; b=${TOKEN}; c=another-credentials`)).toBe(
      `a=${"X".repeat(18)}; b=${"X".repeat(TOKEN.length)}; c=${"X".repeat(18)}s`,
    );
    expect(scrubbed("another-credentia sk-live/ and so on")).toBe("another-credentia sk-live/ and so on");
  });

  it("takes it out across any pieces, and says the same for all of them", () => {
    const text = Buffer.from(
      `x ${TOKEN} y ${Buffer.from(`é${TOKEN}`).toString("base64")} sk-live/Aa another-credential`,
    );
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (places) => {
        const cuts = [0, ...places.sort((a, b) => a - b), text.length];
        const chunks = cuts.slice(1).map((cut, i) => Buffer.from(text.subarray(cuts[i], cut)));
        expect(scrubbed(...chunks)).toBe(scrubbed(text));
      }),
    );
    expect(scrubbed(text)).not.toMatch(/Bb2|another/);
  });

  it("holds nothing back but the beginning of a credential", () => {
    const scrubber = factory.open();
    expect(scrubber.push(Buffer.from("data: {}\n\n")).toString()).toBe("data: {}\n\n");
    expect(scrubber.push(Buffer.from("data: another-cred")).toString()).toBe("data: ");
    expect(scrubber.push(Buffer.from("it\n\n")).toString()).toBe("another-credit\n\n");
    expect(scrubber.push(Buffer.from("s")).toString()).toBe("");
    expect(scrubber.end().toString()).toBe("s");
  });

  it("does not write into the caller's buffer", () => {
    const chunk = Buffer.from(TOKEN);
    factory.open().push(chunk);
    expect(chunk.toString()).toBe(TOKEN);
  });

  it("takes a credential of all bytes", () => {
    const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const scrubber = compileEchoScrubber([value]).open();
    const out = Buffer.concat([
      scrubber.push(Buffer.concat([Buffer.from("<"), value, Buffer.from(">")])),
      scrubber.end(),
    ]);
    expect(out.toString()).toBe(`<${"X".repeat(256)}>`);
  });

  it("refuses a credential that is too short to be told from text", () => {
    expect(() => compileEchoScrubber(["short"])).toThrow(/5 bytes/);
  });
});
