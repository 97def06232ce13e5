/** New keys: sound, and made to the end also where garbage is collected all the time. */
import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { makeEd25519Pair } from "../../../src/lib/ed25519.ts";
import { runProgram } from "../../support/real-bottle.ts";

const MAKE_KEYS = fileURLToPath(new URL("./programs/make-keys.ts", import.meta.url));

describe("a new ed25519 key", () => {
  it("has two halves that belong together", () => {
    const { seed, point } = makeEd25519Pair();
    const d = seed.toString("base64url");
    const key = { kty: "OKP", crv: "Ed25519", x: point.toString("base64url") };
    const signature = sign(
      null,
      Buffer.from("word"),
      createPrivateKey({ key: { ...key, d }, format: "jwk" }),
    );
    const check = (text: string): boolean =>
      verify(null, Buffer.from(text), createPublicKey({ key, format: "jwk" }), signature);
    expect([check("word"), check("another")]).toEqual([true, false]);
  });

  it("is made while garbage is collected", async () => {
    const node = [process.execPath, "--max-semi-space-size=1", "--import", "tsx"] as const;
    const run = await runProgram([...node, MAKE_KEYS], {
      env: { PATH: process.env["PATH"] ?? "" },
      timeoutMs: 60_000,
    });
    expect(run.code, run.stderr).toBe(0);
    expect(run.stdout.trim()).toBe("6000");
  });
});
