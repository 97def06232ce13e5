import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { UserError } from "../../../src/lib/errors.ts";
import { acquireLock } from "../../../src/lib/lock-file.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { installPackage } from "../../../src/providers/npm-package.ts";
import type { PinnedPackage } from "../../../src/providers/pinned-package.ts";
import { type NpmRegistry, startNpmRegistry } from "../../doubles/npm-registry.ts";
import { pidOf } from "../../support/pid-of.ts";

let root: string;
let registry: NpmRegistry;
let good: Buffer;
let other: Buffer;

/** A tarball as npm makes them, with an install script that leaves a mark. */
async function makeTarball(program: string): Promise<Buffer> {
  const dir = await mkdtemp(join(root, "source-"));
  await mkdir(join(dir, "package"));
  const manifest = {
    name: "@maker/thing",
    version: "1.2.3",
    scripts: { preinstall: `touch ${root}/script-ran`, install: `touch ${root}/script-ran` },
  };
  await writeFile(join(dir, "package", "package.json"), JSON.stringify(manifest));
  await writeFile(join(dir, "package", "thing"), program, { mode: 0o600 });
  await writeFile(join(dir, "package", "unwanted"), "not in the pin");
  await runOk(["tar", "-czf", join(dir, "thing.tgz"), "-C", dir, "package"]);
  return readFile(join(dir, "thing.tgz"));
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "npm-package-"));
  good = await makeTarball("#!/bin/sh\necho good\n");
  other = await makeTarball("#!/bin/sh\necho other\n");
});

afterEach(() => vi.unstubAllEnvs());
afterAll(() => rm(root, { recursive: true, force: true }));

let cache: string;
let dir: string;
let pin: PinnedPackage;
let env: Record<string, string | undefined>;
let told: string[];

beforeEach(async () => {
  registry = await startNpmRegistry("@maker/thing", "1.2.3", good);
  cache = await mkdtemp(join(root, "cache-"));
  dir = join(cache, "providers", "thing", "1.2.3");
  told = [];
  pin = {
    product: "Thing",
    name: "@maker/thing",
    version: "1.2.3",
    integrity: registry.integrity(),
    downloadBytes: good.length,
    unpackedBytes: 10_000,
    files: { thing: 0o755 },
  };
  env = {
    PATH: process.env["PATH"],
    HOME: cache,
    npm_config_registry: registry.url,
    npm_config_cache: join(cache, "npm"),
    npm_config_fetch_retries: "0",
  };
  return async () => {
    await registry.close();
    await rm(cache, { recursive: true, force: true });
  };
});

const install = (): Promise<void> => installPackage(pin, dir, { progress: (text) => told.push(text), env });

async function refusal(attempt: Promise<unknown>): Promise<UserError> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

async function whatIsThere(): Promise<string[]> {
  return (await readdir(join(cache, "providers", "thing"))).sort();
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("installing a pinned package", () => {
  it("leaves the pin's files alone, runnable by anybody, and ran no script", async () => {
    await install();
    expect((await readdir(dir)).sort()).toEqual(["installed.json", "thing"]);
    expect((await stat(dir)).mode & 0o777).toBe(0o755);
    expect((await runOk([join(dir, "thing")])).stdout.toString()).toBe("good\n");
    expect(await whatIsThere()).toEqual(["1.2.3"]);
    await expect(stat(join(root, "script-ran"))).rejects.toMatchObject({ code: "ENOENT" });
    expect(told[0]).toMatch(/^installing Thing 1\.2\.3 with npm, once: downloading 1 MB$/);
    expect(told.at(-1)).toContain("is installed");
  });

  it("is free the second time: without npm, without the registry, without a word", async () => {
    await install();
    told = [];
    env = {};
    await registry.close();
    await install();
    expect(told).toEqual([]);
  });

  it("installs once for two at once, and tells the second that it waits", async () => {
    const release = registry.holdDownloads();
    const both = Promise.all([install(), install()]);
    await until(() => told.some((text) => text.startsWith("waiting for another bottle")));
    release();
    await both;
    expect(registry.downloads).toBe(1);
    expect(await whatIsThere()).toEqual(["1.2.3"]);
  });

  it("takes over from an installer that was killed, and clears up after it", async () => {
    registry.holdDownloads();
    const program = `import { installPackage } from ${JSON.stringify(import.meta.resolve("../../../src/providers/npm-package.ts"))};
      await installPackage(${JSON.stringify(pin)}, ${JSON.stringify(dir)}, { progress() {} });`;
    const script = join(cache, "install.mts");
    await writeFile(script, program);
    const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), script], {
      env,
      detached: true,
      stdio: "inherit",
    });
    await until(() => registry.downloads === 1);
    process.kill(-pidOf(child), "SIGKILL");
    await once(child, "exit");
    expect(await whatIsThere()).toEqual(["1.2.3.lock", "1.2.3.partial"]);
    await registry.close();
    registry = await startNpmRegistry("@maker/thing", "1.2.3", good);
    env["npm_config_registry"] = registry.url;
    await install();
    expect(await whatIsThere()).toEqual(["1.2.3"]);
  });

  it("waits for a holder that lives", async () => {
    await mkdir(join(cache, "providers", "thing"), { recursive: true });
    const holder = await acquireLock(`${dir}.lock`);
    const done = install();
    await until(() => told.length > 0);
    expect(told).toEqual(["waiting for another bottle to finish installing Thing"]);
    expect(registry.downloads).toBe(0);
    await holder.release();
    await done;
  });

  it.each([
    ["cut", (file: string) => writeFile(file, "#!/bin/sh\n")],
    ["no longer runnable", (file: string) => chmod(file, 0o644)],
    ["removed", (file: string) => rm(file)],
    ["without its record", () => rm(join(dir, "installed.json"))],
  ])("installs again when what was installed is %s", async (_, spoil) => {
    await install();
    await spoil(join(dir, "thing"));
    await install();
    expect((await runOk([join(dir, "thing")])).stdout.toString()).toBe("good\n");
  });

  it("installs again when the pin has moved", async () => {
    await install();
    registry.serve(other);
    pin = { ...pin, integrity: registry.integrity() };
    env["npm_config_cache"] = join(cache, "npm-2");
    await install();
    expect((await runOk([join(dir, "thing")])).stdout.toString()).toBe("other\n");
  });
});

describe("what stops an install", () => {
  it("refuses other bytes under the pinned version, and keeps none of them", async () => {
    registry.serve(other);
    const error = await refusal(install());
    expect(error.message).toContain("is not the package that bot-bottle was made for");
    expect(error.message).toContain(pin.integrity);
    expect(error.hint).toContain("nothing was installed");
    expect(await whatIsThere()).toEqual([]);
  });

  it("says that npm is missing", async () => {
    env = { ...env, PATH: cache };
    const error = await refusal(install());
    expect(error.message).toContain("npm was not found");
    expect(await whatIsThere()).toEqual([]);
  });

  it("says that the registry cannot be reached", async () => {
    await registry.close();
    expect((await refusal(install())).message).toContain("could not be reached");
  });

  it.each([
    [404, "does not have it"],
    [401, "refused it"],
    [503, "could not be reached"],
  ])("says what a registry means by %i", async (status, meaning) => {
    registry.fail(status);
    expect((await refusal(install())).message).toContain(meaning);
  });

  it("refuses a version that the registry does not have", async () => {
    pin = { ...pin, version: "9.9.9" };
    expect((await refusal(install())).message).toContain("does not have it");
  });

  it("refuses before the download when the disk has not enough room", async () => {
    pin = { ...pin, unpackedBytes: Number.MAX_SAFE_INTEGER };
    const error = await refusal(install());
    expect(error.message).toContain("not enough space");
    expect(error.hint).toContain("BOT_BOTTLE_CACHE");
    expect(registry.downloads).toBe(0);
  });

  it("names BOT_BOTTLE_CACHE when the cache is not a directory", async () => {
    await writeFile(join(cache, "file"), "");
    vi.stubEnv("BOT_BOTTLE_CACHE", join(cache, "file"));
    dir = join(cache, "file", "providers", "thing", "1.2.3");
    const error = await refusal(install());
    expect(error.message).toContain(`cannot create ${join(cache, "file/providers/thing")}: ENOTDIR`);
    expect(error.hint).toContain("BOT_BOTTLE_CACHE");
  });
});
