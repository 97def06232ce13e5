import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSshKeyPair, readPrivateKey } from "../../../src/bundle/private-key.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "private-key-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const path = (name: string): string => join(folder, name);
const keygen = (...args: readonly string[]): string =>
  execFileSync("ssh-keygen", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const write = (name: string, text: string, mode = 0o600): string => {
  writeFileSync(path(name), text, { mode });
  return path(name);
};

describe("a key that is made", () => {
  it("is one that ssh reads, and its public half is the one that is told", () => {
    const { privateKey, publicKey } = makeSshKeyPair();
    expect(keygen("-y", "-f", write("made", privateKey)).trim()).toBe(publicKey);
    expect(makeSshKeyPair().publicKey).not.toBe(publicKey);
  });

  it("signs what its public half verifies", () => {
    const { privateKey, publicKey } = makeSshKeyPair();
    const text = write("text", "a text");
    keygen("-Y", "sign", "-f", write("signer", privateKey), "-n", "file", text);
    write("allowed", `me ${publicKey}\n`);
    const verified = execFileSync(
      "ssh-keygen",
      ["-Y", "verify", "-f", path("allowed"), "-I", "me", "-n", "file", "-s", `${text}.sig`],
      { input: readFileSync(text), encoding: "utf8" },
    );
    expect(verified).toContain('Good "file" signature for me');
  });
});

describe("a key of the operator's", () => {
  it.each([
    ["ed25519", []],
    ["ecdsa", []],
    ["rsa", ["-m", "PEM", "-b", "2048"]],
  ])("is read as it is: %s", async (type, more) => {
    const name = `plain-${type}`;
    keygen("-q", "-t", type, ...more, "-N", "", "-f", path(name));
    expect(await readPrivateKey(path(name))).toBe(readFileSync(path(name), "utf8"));
  });

  it.each([
    ["OpenSSH's form", []],
    ["PEM", ["-m", "PEM", "-t", "rsa", "-b", "2048"]],
    ["PKCS8", ["-m", "PKCS8", "-t", "rsa", "-b", "2048"]],
  ])("is refused with a passphrase, with what to do instead: %s", async (form, more) => {
    const name = `locked-${form.replace(/\W/g, "")}`;
    keygen("-q", ...more, "-N", "a word", "-f", path(name));
    await expect(readPrivateKey(path(name))).rejects.toMatchObject({
      message: `the key ${path(name)} has a passphrase, and there is nobody to ask when it is needed`,
      hint: `load it with ssh-add ${path(name)}, and write key: agent`,
    });
  });

  it("is refused when others may read it, when it is a public one, when it is none, when it is gone", async () => {
    const key = makeSshKeyPair();
    const open = write("open", key.privateKey);
    chmodSync(open, 0o644);
    await expect(readPrivateKey(open)).rejects.toMatchObject({ hint: `chmod 600 ${open}` });
    await expect(readPrivateKey(write("id.pub", key.publicKey))).rejects.toThrow(
      "is no private key, but a public one",
    );
    await expect(readPrivateKey(write("text.txt", "hello"))).rejects.toThrow("is no private key");
    await expect(readPrivateKey(path("none"))).rejects.toThrow(/cannot read the key .*none: ENOENT/);
    await expect(readPrivateKey(folder)).rejects.toThrow("is no private key");
    symlinkSync("/dev/zero", path("zero"));
    await expect(readPrivateKey(path("zero"))).rejects.toThrow("is no private key");
    execFileSync("mkfifo", ["-m", "600", path("fifo")]);
    await expect(readPrivateKey(path("fifo"))).rejects.toThrow("is no private key");
  });

  it("I2: is never quoted in what is thrown", async () => {
    const { privateKey } = makeSshKeyPair();
    const broken = write("broken", privateKey.replace("-----END", "----END"));
    const error = await readPrivateKey(broken).catch((thrown: unknown) => thrown);
    expect(String(error)).not.toContain(privateKey.split("\n")[1]);
  });
});
