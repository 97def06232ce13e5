import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findCredential } from "../../../src/image/registry/credentials.ts";

/** Looks like nobody's. */
const PASSWORD = ["pass", "word", "1"].join("-");
const AUTH = Buffer.from(`me:${PASSWORD}`).toString("base64");
const ME = { kind: "password", user: "me", password: PASSWORD };

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "bottle-test-"));
  mkdirSync(join(home, ".docker"));
});
afterEach(() => rmSync(home, { recursive: true }));

function write(config: unknown, path = ".docker/config.json"): void {
  writeFileSync(join(home, path), typeof config === "string" ? config : JSON.stringify(config));
}

const find = (host = "r.example", repository = "team/dev", env: Record<string, string> = {}) =>
  findCredential({ host, repository }, { HOME: home, PATH: process.env["PATH"], ...env });

/** A helper that says what it was asked, as its own answer. */
function helper(name: string, body: string): Record<string, string> {
  writeFileSync(join(home, `docker-credential-${name}`), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  return { PATH: `${home}:${process.env["PATH"]}` };
}

describe("what docker login and podman login left", () => {
  it("is nothing where there is no file, and nothing for another registry", async () => {
    expect(await find()).toBeUndefined();
    write({ auths: { "other.example": { auth: AUTH } } });
    expect(await find()).toBeUndefined();
  });

  it.each(["r.example", "https://r.example", "https://r.example/v2/", "http://r.example/v1/", "r.example/"])(
    "is found under the key %s",
    async (key) => {
      write({ auths: { [key]: { auth: AUTH } } });
      expect(await find()).toEqual(ME);
    },
  );

  it("is found for Docker Hub under docker's own key", async () => {
    write({ auths: { "https://index.docker.io/v1/": { auth: AUTH } } });
    expect(await find("docker.io", "library/debian")).toEqual(ME);
    expect(await find("r.example")).toBeUndefined();
  });

  it("is the closest of several for parts of a registry", async () => {
    const other = Buffer.from("other:x").toString("base64");
    write({ auths: { "r.example": { auth: other }, "r.example/team": { auth: AUTH } } });
    expect(await find()).toEqual(ME);
    expect(await find("r.example", "elsewhere/dev")).toMatchObject({ user: "other" });
  });

  it("is an identity token where the login gave one", async () => {
    write({ auths: { "r.example": { auth: AUTH, identitytoken: "it" } } });
    expect(await find()).toEqual({ kind: "identity-token", token: "it" });
  });

  it("is read where podman and DOCKER_CONFIG have it", async () => {
    mkdirSync(join(home, "run/containers"), { recursive: true });
    write({ auths: { "r.example": { auth: AUTH } } }, "run/containers/auth.json");
    expect(await find("r.example", "team/dev", { XDG_RUNTIME_DIR: join(home, "run") })).toEqual(ME);
    mkdirSync(join(home, "elsewhere"));
    write({ auths: { "r.example": { auth: AUTH } } }, "elsewhere/config.json");
    expect(await find("r.example", "team/dev", { DOCKER_CONFIG: join(home, "elsewhere") })).toEqual(ME);
  });

  it("comes from a helper, which is told the server on its stdin and has nothing in its argv", async () => {
    const env = helper(
      "ring",
      `read -r server; [ "$*" = get ] && printf '{"Username":"%s","Secret":"s"}' "$server"`,
    );
    write({ credsStore: "ring", auths: { "https://r.example/v2/": {} } });
    expect(await find("r.example", "team/dev", env)).toMatchObject({ user: "https://r.example/v2/" });
    write({ credHelpers: { "r.example": "ring" }, credsStore: "no-such" });
    expect(await find("r.example", "team/dev", env)).toMatchObject({ user: "r.example", password: "s" });
  });

  it("is a token when the helper says so, and nothing when it has none", async () => {
    write({ credsStore: "ring" });
    const token = helper("ring", `cat >/dev/null; printf '{"Username":"<token>","Secret":"t"}'`);
    expect(await find("r.example", "team/dev", token)).toEqual({ kind: "identity-token", token: "t" });
    const none = helper("ring", `cat >/dev/null; echo "credentials not found in native keychain"; exit 1`);
    expect(await find("r.example", "team/dev", none)).toBeUndefined();
  });

  it.each(["../evil", "a b", "", "-x", "a;b"])("starts no program for the helper %j", async (name) => {
    write({ credHelpers: { "r.example": name } });
    if (name === "") expect(await find()).toBeUndefined();
    else await expect(find()).rejects.toThrow(/no name/);
  });

  it("is never shown when it cannot be read", async () => {
    const broken = [
      `{"auths": {"r.example": {"auth": "${AUTH}"`,
      JSON.stringify({ auths: { "r.example": { auth: [AUTH] } } }),
    ];
    for (const text of broken) {
      write(text);
      const error = await find().catch((thrown: unknown) => thrown);
      expect(String(error)).toMatch(/is not what docker login writes/);
      expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(AUTH.slice(0, 8));
    }
    write({ auths: { "r.example": { auth: Buffer.from(PASSWORD).toString("base64") } } });
    const error = await find().catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(/no user and password/);
    expect(String(error)).not.toContain(PASSWORD);
  });
});
