import { describe, expect, it } from "vitest";
import { npmFailure } from "../../../src/providers/npm-failure.ts";

const pin = {
  product: "Thing",
  name: "@maker/thing",
  version: "1.2.3",
  integrity: "sha512-",
  downloadBytes: 1,
  unpackedBytes: 1,
  files: {},
};

describe("what npm's complaint is turned into", () => {
  it.each([
    ["npm: ENOENT", "npm was not found", "nodejs.org"],
    ["npm error code ENOSPC\nnpm error nospc write", "disk is full", "BOT_BOTTLE_CACHE"],
    ["npm error code EINTEGRITY", "own checksum", "npm cache verify"],
    ["npm error code E401", "refused it", "npm login"],
    ["npm error code E403", "refused it", "npm config get registry"],
    ["npm error code E404", "does not have it", "mirror"],
    ["npm error code ETARGET", "does not have it", "mirror"],
    ["npm error code ECONNREFUSED", "could not be reached", "network"],
    ["npm error code ENOTFOUND", "could not be reached", "network"],
    ["npm error code E503", "could not be reached", "network"],
    ["npm did not end within 1800000 ms", "could not be reached", "network"],
    ["npm error code UNABLE_TO_VERIFY_LEAF_SIGNATURE", "certificate", "cafile"],
  ])("%s", (stderr, meaning, hint) => {
    const error = npmFailure(pin, stderr);
    expect(error.message).toContain(meaning);
    expect(error.message).toContain("@maker/thing@1.2.3");
    expect(error.hint).toContain(hint);
  });

  it("repeats a complaint that it does not know, to a bound", () => {
    const error = npmFailure(pin, `npm error something new ${"x".repeat(5_000)}`);
    expect(error.message).toContain("something new");
    expect(error.message.length).toBeLessThan(1_200);
    expect(error.hint).toContain("npm pack @maker/thing@1.2.3");
  });
});
