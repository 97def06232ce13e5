import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { debianSources } from "../../../src/image/debian-sources.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "bottle-test-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const DEBIAN = "ID=debian\nVERSION_CODENAME=bookworm\n";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

describe("where this host has its packages from", () => {
  it("is read from lists of lines: the release, its updates, its security, and nobody else's", () => {
    put("etc/os-release", DEBIAN);
    put(
      "etc/apt/sources.list",
      [
        "# deb http://old.example/debian bookworm main",
        "deb http://mirror.example/debian bookworm main contrib # ours",
        "deb-src http://mirror.example/debian bookworm main",
        "deb [arch=amd64 signed-by=/etc/own.gpg] http://mirror.example/security bookworm-security main",
        "deb http://mirror.example/debian bookworm-backports main",
        "deb http://other.example/tool stable main",
      ].join("\n"),
    );
    expect(debianSources(root)).toEqual({
      suite: "bookworm",
      lines: [
        `deb [signed-by=${KEYRING}] http://mirror.example/debian bookworm main contrib`,
        "deb [signed-by=/etc/own.gpg] http://mirror.example/security bookworm-security main",
      ],
    });
  });

  it("is read from stanzas", () => {
    put("etc/os-release", 'ID="debian"\nVERSION_CODENAME=trixie\n');
    put(
      "etc/apt/sources.list.d/debian.sources",
      `Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/it.gpg

Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
Enabled: no

Types: deb
URIs: http://key.example/debian
Suites: trixie-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 xyz
`,
    );
    put("etc/apt/sources.list.d/off.list.disabled", "deb http://no.example trixie main\n");
    expect(debianSources(root)?.lines).toEqual([
      "deb [signed-by=/usr/share/keyrings/it.gpg] http://mirror.example/debian trixie main contrib",
      "deb [signed-by=/usr/share/keyrings/it.gpg] http://mirror.example/debian trixie-updates main contrib",
      `deb [signed-by=${KEYRING}] http://key.example/debian trixie-security main`,
    ]);
  });

  it.each([
    ["another system", "ID=fedora\nVERSION_CODENAME=bookworm\n", "deb http://m.example bookworm main\n"],
    ["no release", "ID=debian\n", "deb http://m.example bookworm main\n"],
    ["no list", DEBIAN, undefined],
    ["only updates", DEBIAN, "deb http://m.example bookworm-updates main\n"],
    ["a release that is no name", "ID=debian\nVERSION_CODENAME=../x\n", "deb http://m.example ../x main\n"],
  ])("is nowhere with %s", (_, release, list) => {
    put("etc/os-release", release);
    if (list !== undefined) put("etc/apt/sources.list", list);
    expect(debianSources(root)).toBeUndefined();
  });
});
