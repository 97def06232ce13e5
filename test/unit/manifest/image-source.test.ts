import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseImageSource } from "../../../src/manifest/image-source.ts";
import { imageWord } from "../../../src/plan/image-word.ts";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;
const parsed = (text: string): unknown => {
  const result = parseImageSource(text);
  return result.ok ? result.value : result.reason;
};

describe("an image as the operator writes it", () => {
  it.each([
    ["debian", { kind: "registry", host: "docker.io", repository: "library/debian", tag: "latest" }],
    ["debian:12", { kind: "registry", host: "docker.io", repository: "library/debian", tag: "12" }],
    ["team/dev", { kind: "registry", host: "docker.io", repository: "team/dev", tag: "latest" }],
    [
      "docker://docker.io/debian:12",
      { kind: "registry", host: "docker.io", repository: "library/debian", tag: "12" },
    ],
    ["index.docker.io/a/b:c", { kind: "registry", host: "docker.io", repository: "a/b", tag: "c" }],
    [
      "registry.example/a/b/c:1.0_x-y",
      { kind: "registry", host: "registry.example", repository: "a/b/c", tag: "1.0_x-y" },
    ],
    [
      "docker://localhost:5000/dev",
      { kind: "registry", host: "localhost:5000", repository: "dev", tag: "latest" },
    ],
    ["localhost/dev", { kind: "registry", host: "localhost", repository: "dev", tag: "latest" }],
    ["[fd00::1]:5000/dev:x", { kind: "registry", host: "[fd00::1]:5000", repository: "dev", tag: "x" }],
    [`r.example/dev@${DIGEST}`, { kind: "registry", host: "r.example", repository: "dev", digest: DIGEST }],
    [
      `r.example/dev:1@${DIGEST}`,
      { kind: "registry", host: "r.example", repository: "dev", tag: "1", digest: DIGEST },
    ],
    ["oci:/srv/layout", { kind: "oci-layout", path: "/srv/layout" }],
    ["oci:~/layout:dev", { kind: "oci-layout", path: "~/layout", ref: "dev" }],
    ["docker-archive:/x.tar:team/dev:1", { kind: "docker-archive", path: "/x.tar", ref: "team/dev:1" }],
    ["docker-daemon:my-agent:latest", { kind: "engine", name: "my-agent:latest" }],
    ["dir:/srv/root:with:colons", { kind: "folder", path: "/srv/root:with:colons" }],
    ["kept:before-upgrade", { kind: "kept", name: "before-upgrade" }],
    ["built-in", { kind: "built-in" }],
  ])("%s", (text, source) => {
    expect(parsed(text)).toEqual(source);
  });

  it.each([
    ["", /no repository/],
    ["Debian", /small letters/],
    ["a//b", /no repository/],
    ["/etc", /begins like a path/],
    ["../up", /begins like a path/],
    ["https://r.example/dev", /.+/],
    ["r.example/", /no repository/],
    ["user:pw@r.example/dev", /no digest after its @/],
    ["dev:", /has a tag that no registry takes/],
    ["dev:-x", /has a tag/],
    ["dev@sha256:12", /no digest/],
    [`dev@${DIGEST.toUpperCase()}`, /no digest/],
    ["docker-daemon:", /no repository/],
    ["docker-daemon:--output=/etc/x", /no repository/],
    ["r.example:99999/dev", /port/],
    ["127.1:5000/dev", /IPv4|host/],
    ["r\u00e9gistre.example/dev", /ASCII/],
    ["oci:layout", /absolute path/],
    ["oci:/a/../b", /absolute path/],
    ["oci:/a:", /ends with a colon/],
    ["dir:", /absolute path/],
    ["docker-archive:x.tar", /absolute path/],
    ["kept:../x", /must be kept: and a name/],
    ["dev\u001b[2J", /control characters/],
    ["dev\n", /control characters/],
    [`${"a".repeat(300)}`, /no repository/],
  ])("refuses %j", (text, reason) => {
    expect(parsed(text)).toMatch(reason);
  });

  it("is read again as what it was written from", () => {
    const part = fc.stringMatching(/^[a-z0-9]{1,8}$/);
    const registry = fc.record(
      {
        kind: fc.constant("registry" as const),
        host: fc.constantFrom("docker.io", "r.example", "localhost:5000", "[fd00::1]:443"),
        repository: fc.array(part, { minLength: 2, maxLength: 4 }).map((parts) => parts.join("/")),
        tag: fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/),
        digest: fc.constant(DIGEST),
      },
      { requiredKeys: ["kind", "host", "repository", "tag"] },
    );
    fc.assert(
      fc.property(registry, (source) => {
        expect(parsed(imageWord(source))).toEqual(source);
      }),
    );
  });

  it("never throws, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const result = parseImageSource(text);
        expect(result.ok || result.reason !== "").toBe(true);
      }),
    );
  });
});
