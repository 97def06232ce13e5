import { describe, expect, it } from "vitest";
import { parseSettings, publicUrl, rebuild } from "../../../src/provision/workspace/public-config.ts";

const token = ["glpat", "A".repeat(20)].join("-");

describe("a remote's URL as the guest may see it", () => {
  it.each([
    ["https://example.com/a/b.git", "https://example.com/a/b.git"],
    [`https://${token}@example.com/a.git`, "https://example.com/a.git"],
    [
      `https://oauth2:${token}@example.com:8443/a.git?token=${token}#${token}`,
      "https://example.com:8443/a.git",
    ],
    [`http://user:${token}@example.com/`, "http://example.com/"],
    ["git://example.com/a", "git://example.com/a"],
    ["ssh://git@example.com/a.git", "ssh://git@example.com/a.git"],
    [`ssh://git:${token}@example.com:22/a.git`, "ssh://git@example.com:22/a.git"],
    ["git@example.com:a/b.git", "git@example.com:a/b.git"],
    ["example.com:~/b", "example.com:~/b"],
  ])("%s", (url, expected) => expect(publicUrl(url)).toBe(expected));

  it.each([
    "/home/me/repo.git",
    "../repo",
    "file:///home/me/repo.git",
    "ext::sh -c 'touch x'",
    "fd::3",
    "C:\\repo",
    "https://",
    "not a url://x",
    "javascript://x",
    `user:${token}@example.com:path`,
    "https://example.com/a\nb",
    "-oProxyCommand=x:y",
  ])("is not shown: %s", (url) => expect(publicUrl(url)).toBeUndefined());
});

describe("the operator's settings", () => {
  it("are parsed as git lists them: dots in the middle, values with line breaks, no value at all", () => {
    const listed = "core.bare\nfalse\0branch.a.b.c.merge\nrefs/heads/x\0alias.x\n!a\nb\0core.flag\0";
    expect(parseSettings(listed)).toEqual([
      { section: "core", subsection: undefined, key: "bare", value: "false" },
      { section: "branch", subsection: "a.b.c", key: "merge", value: "refs/heads/x" },
      { section: "alias", subsection: undefined, key: "x", value: "!a\nb" },
      { section: "core", subsection: undefined, key: "flag", value: "true" },
    ]);
  });

  it("pass only by name and by value", () => {
    const { text, isPartial } = rebuild(
      parseSettings(
        [
          "core.autocrlf\ninput",
          "core.eol\n!touch x",
          "core.filemode\nfalse",
          "core.bare\ntrue",
          "core.worktree\n/etc",
          "core.fsmonitor\ntouch x",
          "core.hookspath\n/x",
          "core.attributesfile\n/x",
          "include.path\n/x",
          "includeif.gitdir:/.path\n/x",
          "http.https://example.com/.extraheader\nAuthorization: x",
          "credential.helper\nstore",
          "url.https://x@y/.insteadof\nhttps://y/",
          "filter.lfs.process\ngit-lfs",
          "gpg.program\nx",
          "user.signingkey\nx",
          "extensions.worktreeconfig\ntrue",
          "submodule.x.update\n!touch x",
          "remote.origin.url\nhttps://example.com/a",
          "remote.origin.uploadpack\ntouch x",
          "remote.origin.proxy\nhttp://user:pw@proxy",
          "remote.origin.fetch\n+refs/heads/*:refs/remotes/origin/*",
          "remote.evil.fetch\n+refs/*:refs/*",
          "remote.--x.url\nhttps://example.com/a",
          "branch.main.remote\nhttps://user:pw@example.com",
          "branch.main.merge\nrefs/heads/main",
          "branch.main.rebase\ntrue",
          "branch.line\nbreak.merge\nrefs/heads/x",
        ].join("\0"),
      ),
      "sha1",
    );
    expect(text).toBe(
      [
        "[core]",
        '\trepositoryformatversion = "0"',
        '\tbare = "false"',
        '\tlogallrefupdates = "true"',
        '\tautocrlf = "input"',
        '\tfilemode = "false"',
        '[remote "origin"]',
        '\turl = "https://example.com/a"',
        '\tfetch = "+refs/heads/*:refs/remotes/origin/*"',
        '[branch "main"]',
        '\tmerge = "refs/heads/main"',
        "",
      ].join("\n"),
    );
    expect(isPartial).toBe(false);
  });

  it("say the format where it is not the usual one", () => {
    expect(rebuild([], "sha256").text).toContain('[extensions]\n\tobjectFormat = "sha256"');
    const partial = rebuild(parseSettings("remote.origin.promisor\ntrue"), "sha1");
    expect(partial.text).toContain('partialClone = "origin"');
    expect(partial.isPartial).toBe(true);
  });
});
