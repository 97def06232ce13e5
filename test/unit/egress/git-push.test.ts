import { describe, expect, it } from "vitest";
import { isLfsBatch, refusedBatch, refusedPush } from "../../../src/sidecars/egress/rules/git-push.ts";
import { readHead } from "../../../src/sidecars/egress/rules/head.ts";

function headOf(...raw: string[]) {
  const head = readHead(raw, 50);
  if (!head.allow) throw new Error(head.code);
  return head.value;
}

const request = (method: string, path: string, ...headers: string[]) => ({
  method,
  path,
  head: headOf(...headers),
});

describe("a push is recognised", () => {
  it.each<[string, string, ...string[]]>([
    ["GET", "/o/r.git/info/refs?service=git-receive-pack"],
    ["GET", "/o/r/info/refs?service=git-receive-pack&x=1"],
    ["GET", "/o/r/info/refs?a=b&service=git-receive-pack"],
    ["GET", "/o/r/info/refs?service=git-upload-pack&service=git-receive-pack"],
    ["GET", "/o/r/info/refs?%73ervice=git%2Dreceive%2dpack"],
    ["GET", "/o/r/info/refs?service=git%252dreceive%252dpack"],
    ["GET", "/o/r/info/refs?service=+git-receive-pack"],
    ["GET", "/o/r/info/refs;service=x?SERVICE=GIT-RECEIVE-PACK"],
    ["GET", "/o/r/info/refs?x;service=git-receive-pack"],
    ["HEAD", "/anything?service=git-receive-pack"],
    ["POST", "/o/r.git/git-receive-pack"],
    ["POST", "/o/r.git/git-receive-pack/"],
    ["POST", "/o/r.git/git-receive-pack//"],
    ["POST", "/o/r.git/git-receive-pack?x=y"],
    ["POST", "/o/r.git/git-receive-pack;x=y"],
    ["POST", "/o/r.git/git-receive-pack.json"],
    ["POST", "/o/r.git/git%2dreceive%2Dpack"],
    ["POST", "/o/r.git/%67%69%74-receive-pack"],
    ["POST", "/o/r.git/git%252dreceive-pack"],
    ["POST", "/o/r.git/GIT-RECEIVE-PACK"],
    ["POST", "/o/r.git%2fgit-receive-pack"],
    ["POST", "/o/r.git%5cgit-receive-pack"],
    ["POST", "/o/r.git/git-receive-pack%20"],
    ["PUT", "/o/r.git/git-receive-pack"],
    ["POST", "/o/r.git/git-receive-pack", "Content-Type", "text/plain"],
    ["POST", "/elsewhere", "Content-Type", "application/x-git-receive-pack-request"],
    ["POST", "/elsewhere", "Content-Type", "Application/X-Git-Receive-Pack-Request; a=b"],
    ["POST", "/elsewhere", "Accept", "application/x-git-receive-pack-result"],
    ["MKCOL", "/o/r.git/objects/ab/"],
    ["LOCK", "/o/r.git/refs/heads/main"],
    ["PUT", "/o/r.git/objects/ab/cd"],
    ["PUT", "/o/r.git/info/lfs/objects/abc/12"],
    ["PUT", "/o/r/info%2flfs%2fobjects/abc"],
    ["POST", "/o/r.git/info/lfs/objects"],
    ["POST", "/o/r.git/info/lfs/objects/verify"],
    ["PUT", "/o/r.git/info/lfs/objects/batch"],
  ])("in %s %s %s %s", (method, path, ...headers) => {
    expect(refusedPush(request(method, path, ...headers))).toMatchObject({
      code: "git-push-refused",
      rule: expect.stringContaining("git-gate") as string,
    });
  });

  it.each<[string, string, ...string[]]>([
    ["GET", "/o/r.git/info/refs?service=git-upload-pack"],
    ["POST", "/o/r.git/git-upload-pack", "Content-Type", "application/x-git-upload-pack-request"],
    ["GET", "/docs/git-receive-pack"],
    ["GET", "/search?q=git-receive-pack"],
    ["GET", "/search?q=service%3Dgit-receive-pack"],
    ["POST", "/v1/messages?beta=true", "Content-Type", "application/json"],
    ["PUT", "/packages/a.git-tools.tgz"],
    ["POST", "/o/r.git/info/lfs/objects/batch"],
    ["GET", "/o/r.git/info/lfs/objects/abc"],
  ])("and is not in %s %s", (method, path, ...headers) => {
    expect(refusedPush(request(method, path, ...headers))).toBeUndefined();
  });
});

describe("a batch of git's large file storage", () => {
  const judge = (body: string | undefined) =>
    refusedBatch(body === undefined ? undefined : Buffer.from(body))?.code ?? "passes";

  it.each<[string, string, ...string[]]>([
    ["POST", "/o/r.git/info/lfs/objects/batch"],
    ["POST", "/o/r/info/lfs/objects/batch/"],
    ["POST", "/o/r/info/lfs%2fobjects/batch"],
    ["POST", "/lfs/o/r/objects/batch", "Accept", "application/vnd.git-lfs+json"],
  ])("is one at %s %s", (method, path, ...headers) => {
    expect(isLfsBatch(request(method, path, ...headers))).toBe(true);
  });

  it.each<[string, string, ...string[]]>([
    ["POST", "/v1/objects/batch"],
    ["GET", "/o/r.git/info/lfs/objects/batch"],
    ["POST", "/o/r.git/info/lfs/locks", "Accept", "application/vnd.git-lfs+json"],
    ["POST", "/o/r.git/info/lfs/objects/batch/x"],
  ])("is none at %s %s", (method, path, ...headers) => {
    expect(isLfsBatch(request(method, path, ...headers))).toBe(false);
  });

  it.each<[string | undefined, string]>([
    ['{"operation":"download","objects":[{"oid":"a","size":1}]}', "passes"],
    ['{"operation":"download","ref":{"name":"refs/heads/a\\u0026b"},"objects":[]}', "passes"],
    ['{"operation":"upload","objects":[]}', "git-push-refused"],
    ['{"operation":"download","operation":"upload"}', "git-push-refused"],
    ['{"operation":"upload","operation":"download"}', "git-push-refused"],
    ['{"operation":"download","Operation":"upload"}', "git-push-refused"],
    ['{"operation":"download","oper\\u0061tion":"upload"}', "git-push-refused"],
    ['{"operation":"Download"}', "git-push-refused"],
    ['{"objects":[{"operation":"download"}]}', "git-push-refused"],
    ['{"objects":[]}', "git-push-refused"],
    ['["operation","download"]', "git-push-refused"],
    ['[{"operation":"download"}]', "git-push-refused"],
    ["null", "git-push-refused"],
    ['"operation"', "git-push-refused"],
    ["operation=download", "git-push-refused"],
    ["", "git-push-refused"],
    [undefined, "git-push-refused"],
  ])("saying %s %s", (body, verdict) => {
    expect(judge(body)).toBe(verdict);
  });
});
