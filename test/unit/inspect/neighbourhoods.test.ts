import { describe, expect, it } from "vitest";
import { LOOK_ALIKES } from "../../../src/inspect/look-alikes.ts";
import { inspected } from "../../support/inspected.ts";
import { inspector, KNOWN } from "../../support/inspectors.ts";

/** Credentials of which one character is escaped, with as much plain text between it and their other end as there can be. */
const PASSWORD = ["tR8vLq2", "Zx9mW4"].join("");
const escaped = (text: string, at: number): string =>
  `${text.slice(0, at)}%${text.charCodeAt(at).toString(16)}${text.slice(at + 1)}`;

const HOST = "build-machine-of-the-second-team.internal.example-company.org";
const NETRC = `machine ${HOST} login the-continuous-integration-account password ${PASSWORD}`;
const ADO = `Server=tcp:${HOST},1433; Initial Catalog=orders, archive; User ID=ci user; Connect Timeout=30; Password=${PASSWORD};`;

describe("the neighbourhood of an escape", () => {
  it.each([
    ["netrc-password", NETRC],
    ["connection-string", ADO],
  ])("reaches from the keyword to the value of %s, whichever character is escaped", (id, text) => {
    expect(inspected(text).map(({ detector }) => detector)).toContain(id);
    for (let at = 0; at < text.indexOf(PASSWORD) + PASSWORD.length; at++) {
      const line = `${"words before it ".repeat(20)}\n${escaped(text, at)}\n${"and behind it ".repeat(20)}`;
      expect(
        inspected(line).map(({ detector }) => detector),
        line,
      ).toContain(id);
    }
  });

  it("regression: goes on with the digits of an encoding, of which a value has hundreds on either side", () => {
    const spaced = (text: string): string =>
      (Buffer.from(text).toString("hex").match(/../g) ?? []).join(" ").replace(/(.{47}) /g, "$1\n");
    const packed = Buffer.from(`before it\n${KNOWN} and behind`).toString("base64");
    const digits = spaced(spaced(packed));
    const letters = [...digits].flatMap((character, at) => (/[a-f]/.test(character) ? [at] : []));
    for (const at of [0, 1, 2].map((third) => letters[Math.floor((letters.length * third) / 3)] ?? 0)) {
      const alike = [...(LOOK_ALIKES[digits[at] ?? ""] ?? "")][0] ?? "";
      expect(alike).not.toBe("");
      const line = `words before it {${digits.slice(0, at)}${alike}${digits.slice(at + 1)}} and behind it`;
      expect(inspector.scan(Buffer.from(line)).map(({ detector }) => detector)).toContain("deploy-key");
    }
  });

  it("is widened once where many lie side by side, each with a keyword", () => {
    const line = escaped(NETRC, NETRC.indexOf(PASSWORD) + 3);
    const found = inspected(`${`${line}\n`.repeat(30)}`);
    expect(found.filter(({ detector }) => detector === "netrc-password")).toHaveLength(30);
  });
});
