import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { UserError } from "../../../src/lib/errors.ts";
import { makePrivateDir, makeTemporaryDir, runtimeDir } from "../../../src/lib/paths.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync("/tmp/bb-paths-");
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true });
});

const failure = (path: string): Promise<UserError> =>
  makePrivateDir(path).then(
    () => {
      throw new Error("it was made");
    },
    (error: UserError) => error,
  );

describe("a private directory", () => {
  it("is made with those above it, for nobody else, and is left as it is where there is one", async () => {
    await makePrivateDir(join(root, "a/b"));
    for (const made of ["a", "a/b"]) expect(statSync(join(root, made)).mode & 0o777).toBe(0o700);
    mkdirSync(join(root, "real"), { mode: 0o755 });
    symlinkSync("real", join(root, "link"));
    await makePrivateDir(join(root, "link"));
    expect(statSync(join(root, "real")).mode & 0o777).toBe(0o755);
  });

  it("is refused in the place of a file, by name", async () => {
    writeFileSync(join(root, "file"), "");
    for (const path of ["file", "file/below"]) {
      const error = await failure(join(root, path));
      expect(error).toBeInstanceOf(UserError);
      expect(error.message).toMatch(/^cannot create .*: (?:EEXIST|ENOTDIR)$/);
    }
  });

  it.runIf(process.platform === "linux")(
    "regression: is refused where a directory takes none, which mkdir's own recursion tries for ever",
    async () => {
      for (const path of ["/proc/x", "/proc/x/y/z"])
        expect((await failure(path)).message).toMatch(/^cannot create \/proc\/x.*: ENOENT$/);
      expect(() => runtimeDir({ XDG_RUNTIME_DIR: "/proc/x" })).toThrow("cannot create /proc/x/bot-bottle");
    },
  );

  it("for a while is nobody else's either, and where none can be made what to set is named", () => {
    vi.stubEnv("TMPDIR", root);
    const made = makeTemporaryDir("for-");
    expect(made).toMatch(new RegExp(`^${root}/for-.{6}$`));
    expect(statSync(made).mode & 0o777).toBe(0o700);
    vi.stubEnv("TMPDIR", join(root, "gone"));
    expect(() => makeTemporaryDir("for-")).toThrow(
      expect.objectContaining({
        message: `cannot create a directory in ${root}/gone: ENOENT`,
        hint: "set TMPDIR to a directory you can write",
      }),
    );
  });

  it("has sockets nowhere that others can change", () => {
    vi.stubEnv("TMPDIR", root);
    const elsewhere = join(root, `bot-bottle-${process.getuid?.()}`);
    const chosen = (name: string): string => runtimeDir({ XDG_RUNTIME_DIR: join(root, name) });
    mkdirSync(join(root, "own"), { mode: 0o700 });
    expect(chosen("own")).toBe(join(root, "own/bot-bottle"));
    chmodSync(join(root, "own"), 0o1777);
    expect(chosen("own")).toBe(join(root, "own/bot-bottle"));
    for (const mode of [0o777, 0o720]) {
      chmodSync(join(root, "own"), mode);
      expect(chosen("own"), mode.toString(8)).toBe(elsewhere);
    }
    if (process.getuid?.() !== 0) return;
    mkdirSync(join(root, "theirs"), { mode: 0o700 });
    symlinkSync("theirs", join(root, "link"));
    chownSync(join(root, "theirs"), 12_345, 12_345);
    for (const name of ["theirs", "link"]) expect(chosen(name), name).toBe(elsewhere);
    chownSync(join(root, "theirs"), 0, 0);
    lchownSync(join(root, "link"), 12_345, 12_345);
    expect(chosen("link")).toBe(elsewhere);
  });

  it("names what says where it is", async () => {
    const before = { ...process.env };
    writeFileSync(join(root, "file"), "");
    try {
      Object.assign(process.env, {
        BOT_BOTTLE_CACHE: join(root, "file/c"),
        BOT_BOTTLE_HOME: join(root, "file/h"),
      });
      expect((await failure(join(root, "file/c/qemu"))).hint).toContain("set BOT_BOTTLE_CACHE to");
      expect((await failure(join(root, "file/h/state"))).hint).toContain("set BOT_BOTTLE_HOME to");
      expect((await failure(join(root, "file/else"))).hint).toBe(
        `see that ${join(root, "file")} is a directory you can write`,
      );
    } finally {
      process.env = before;
    }
  });
});
