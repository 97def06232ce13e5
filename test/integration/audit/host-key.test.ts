import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hostKey, publicKeyPath, readPublicKey } from "../../../src/audit/host-key.ts";
import { temporaryHome } from "../../support/audit-logs.ts";

let dir: string;
let pem: string;
let remove: () => void;

beforeEach(() => {
  const made = temporaryHome();
  dir = made.home.audit;
  pem = join(dir, "host-key.pem");
  remove = made.remove;
});
afterEach(() => remove());

describe("the host's key", () => {
  it("is made once, 0600, with its public half beside it", async () => {
    const first = await hostKey(dir);
    const bytes = readFileSync(pem);
    expect(statSync(pem).mode & 0o777).toBe(0o600);
    expect(first.fingerprint).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect((await hostKey(dir)).fingerprint).toBe(first.fingerprint);
    expect(readFileSync(pem)).toEqual(bytes);
    expect((await readPublicKey(publicKeyPath(dir))).equals(first.publicKey)).toBe(true);
    expect(readFileSync(publicKeyPath(dir), "utf8")).not.toContain("PRIVATE");
  });

  it("is one when many want it at once, and leaves nothing else behind", async () => {
    const keys = await Promise.all(Array.from({ length: 16 }, () => hostKey(dir)));
    expect(new Set(keys.map(({ fingerprint }) => fingerprint)).size).toBe(1);
    expect(readdirSync(dir).sort()).toEqual(["host-key.pem", "host-key.pub"]);
  });

  it("puts a public half right that is missing or another's", async () => {
    const { publicKey } = await hostKey(dir);
    for (const spoil of [
      () => rmSync(publicKeyPath(dir)),
      () => writeFileSync(publicKeyPath(dir), "another"),
    ]) {
      spoil();
      await hostKey(dir);
      expect((await readPublicKey(publicKeyPath(dir))).equals(publicKey)).toBe(true);
    }
  });

  it("is refused when others can read it, when it is a link, or no such key; and never replaced", async () => {
    await hostKey(dir);
    const good = readFileSync(pem);
    chmodSync(pem, 0o640);
    await expect(hostKey(dir)).rejects.toMatchObject({
      name: "UserError",
      hint: expect.stringContaining("chmod 600"),
    });
    rmSync(pem);
    writeFileSync(join(dir, "elsewhere"), good, { mode: 0o600 });
    symlinkSync(join(dir, "elsewhere"), pem);
    await expect(hostKey(dir)).rejects.toMatchObject({
      name: "UserError",
      hint: expect.stringContaining("link"),
    });
    rmSync(pem);
    for (const content of ["", "garbage", "x".repeat(100_000)]) {
      writeFileSync(pem, content, { mode: 0o600 });
      await expect(hostKey(dir)).rejects.toMatchObject({ name: "UserError" });
      expect(readFileSync(pem, "utf8")).toBe(content);
    }
  });

  it("says what to do when its folder cannot be made", async () => {
    mkdirSync(join(dir, ".."), { recursive: true });
    writeFileSync(join(dir, "..", "file"), "");
    await expect(hostKey(join(dir, "..", "file", "audit"))).rejects.toMatchObject({
      name: "UserError",
      hint: expect.stringContaining("a directory you can write"),
    });
    expect(existsSync(dir)).toBe(false);
  });
});
