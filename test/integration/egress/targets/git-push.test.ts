import { execFile, execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { makeCertificateAuthority } from "../../../../demo/upstreams/certificate-authority.ts";
import { closesAfterEach } from "../../../support/closing.ts";
import { curl, denialIn, git, route, type TestEgress, testEgress } from "../../../support/egress.ts";
import { sites } from "../../../support/egress-site.ts";
import { type GitSite, startGitSite } from "../../../support/git-site.ts";

const HOST = "git.example.test";
const closing = closesAfterEach();

function runGit(cwd: string, ...args: readonly string[]): string {
  const identity = ["-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "protocol.version=2"];
  return execFileSync("git", [...identity, ...args], {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" },
  });
}

/** Not through egress, and not blocking the server that runs in this very process. */
function pushDirectly(clone: string, url: string): Promise<unknown> {
  const env = { PATH: process.env["PATH"], GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" };
  return promisify(execFile)("git", ["-c", "http.sslVerify=false", "push", "-q", url, "main"], {
    cwd: clone,
    env,
  });
}

/** A real git server that takes pushes from anybody, behind egress. */
async function serveGit(): Promise<{ egress: TestEgress; site: GitSite; dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), "git-push-"));
  const root = await makeCertificateAuthority("test root");
  runGit(dir, "init", "-q", "--bare", "-b", "main", "r.git");
  runGit(join(dir, "r.git"), "config", "http.receivepack", "true");
  runGit(dir, "init", "-q", "-b", "main", "w");
  runGit(join(dir, "w"), "commit", "-q", "--allow-empty", "-m", "first");
  runGit(join(dir, "w"), "push", "-q", join(dir, "r.git"), "main");
  const site = await startGitSite(await root.issue([HOST]), dir);
  const egress = await testEgress({
    routes: [route({ host: HOST, connectTo: { host: "127.0.0.1", port: site.port } })],
    upstreamCa: [root.certificate],
  });
  closing.push(
    () => rm(dir, { recursive: true, force: true }),
    () => site.close(),
    () => egress.stop(),
  );
  return { egress, site, dir };
}

describe("real git through egress", () => {
  it("clones and fetches, and is told at its push that git-gate is the way", async () => {
    const { egress, site, dir } = await serveGit();
    const clone = join(dir, "clone");
    expect(await git(egress, "clone", "-q", `https://${HOST}/r.git`, clone)).toMatchObject({ exitCode: 0 });
    runGit(clone, "commit", "-q", "--allow-empty", "-m", "second");
    expect(await git(egress, "-C", clone, "fetch", "origin")).toMatchObject({ exitCode: 0 });
    const before = site.requests.length;

    const pushed = await git(egress, "-C", clone, "push", "origin", "main");
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toContain("git-push-refused");
    expect(pushed.stderr).toContain("git-gate");
    expect(site.requests.slice(before)).toEqual([]);
    expect(await egress.waitFor("egress.denied")).toMatchObject([
      { code: "git-push-refused", target: `GET https://${HOST}/r.git/info/refs` },
    ]);
    expect(runGit(join(dir, "r.git"), "log", "--format=%s", "main").trim()).toBe("first");

    // The control: it is egress that stands in the way, and not the server.
    const direct = `https://127.0.0.1:${site.port}/r.git`;
    await pushDirectly(clone, direct);
    expect(runGit(join(dir, "r.git"), "log", "--format=%s", "main").trim()).toBe("second\nfirst");
  });

  it("does not push with the advertisement of a fetch either", async () => {
    const { egress, site, dir } = await serveGit();
    const before = site.requests.length;
    const request = join(dir, "request");
    await writeFile(request, "0000");
    for (const path of [
      "/r.git/git-receive-pack",
      "/r.git/git-receive%2dpack",
      "/r.git//git-receive-pack/",
    ]) {
      const { stdout } = await curl(
        egress,
        "--path-as-is",
        ...["-H", "Content-Type: application/octet-stream", "--data-binary", `@${request}`],
        `https://${HOST}${path}`,
      );
      expect(denialIn(stdout).code).toBe("git-push-refused");
    }
    expect(site.requests.slice(before)).toEqual([]);
  });
});

describe("git's large file storage", () => {
  const BATCH = `https://${HOST}/o/r.git/info/lfs/objects/batch`;
  const { serve } = sites();

  it("may be asked for downloads, whose batch arrives as it was sent", async () => {
    const { egress, reached } = await serve({ hosts: [HOST] });
    const batch = JSON.stringify({ operation: "download", objects: [{ oid: "a".repeat(64), size: 3 }] });
    for (const more of [
      [],
      ["-H", "Transfer-Encoding: chunked"],
      ["--http2"],
      ["-H", "Expect: 100-continue"],
    ]) {
      expect((await curl(egress, ...more, "-d", batch, BATCH)).stdout).toBe("reached");
    }
    expect(reached.map(({ body }) => body)).toEqual([batch, batch, batch, batch]);
  });

  it("may not be asked for uploads, and nothing of the batch gets there", async () => {
    const { egress, reached } = await serve({ hosts: [HOST] });
    const tooLong = `{"operation":"download","x":"${"x".repeat(600_000)}"}`;
    const dir = await mkdtemp(join(tmpdir(), "lfs-"));
    closing.push(() => rm(dir, { recursive: true, force: true }));
    for (const batch of ['{"operation":"upload","objects":[]}', tooLong]) {
      await writeFile(join(dir, "batch"), batch);
      const { stdout } = await curl(egress, "--data-binary", `@${join(dir, "batch")}`, BATCH);
      expect(denialIn(stdout).code).toBe("git-push-refused");
    }
    expect(reached).toEqual([]);
  });
});
