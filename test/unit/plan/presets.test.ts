import { describe, expect, it } from "vitest";
import { egressPolicy } from "../../../src/bundle/egress-settings.ts";
import { PRESET_NAMES, type PresetName } from "../../../src/contract/policy.ts";
import { crates, tomlStrings } from "../../../src/plan/presets/crates.ts";
import { deb822Sources, listSources } from "../../../src/plan/presets/debian.ts";
import { type ExpandedPresets, expandPresets } from "../../../src/plan/presets/expand.ts";
import { npmrcEntries } from "../../../src/plan/presets/npm.ts";
import { placeOf } from "../../../src/plan/presets/place.ts";
import { pipValue } from "../../../src/plan/presets/pypi.ts";
import type { OperatorSetup, SetupKind } from "../../../src/plan/presets/setup.ts";
import { dryRun } from "../../../src/sidecars/egress/dry-run.ts";
import { thrownBy } from "../../support/manifest-tree.ts";

function setup(
  files: readonly (readonly [SetupKind, string])[] = [],
  env: Readonly<Record<string, string>> = {},
): OperatorSetup {
  return {
    env: (name) => env[name],
    files: files.map(([kind, text], i) => ({ kind, path: `/setup/${kind}-${i}`, text })),
  };
}

const expand = (name: PresetName, ...given: Parameters<typeof setup>): ExpandedPresets =>
  expandPresets([name], setup(...given));

/** What egress says, from the routes of the expansion alone. */
async function verdict({ routes }: ExpandedPresets, method: string, url: string): Promise<string> {
  const plan = { routes, rules: [], env: [] };
  const policy = egressPolicy({ plan, upstreamCa: [], credentials: {}, env: {}, decoy: "" });
  const said = await dryRun(policy, { method, url, headers: [] });
  return said.allow ? `to ${said.dials}` : said.code;
}

const secret = ["hidden", "word"].join("-");

describe("without any setup", () => {
  it.each<[PresetName, string, string, string]>([
    ["npm", "GET", "https://registry.npmjs.org/left-pad", "to registry.npmjs.org:443"],
    ["npm", "GET", "https://registry.npmjs.org/@types%2fnode", "to registry.npmjs.org:443"],
    ["npm", "HEAD", "https://registry.npmjs.org/left-pad/-/left-pad-1.3.0.tgz", "to registry.npmjs.org:443"],
    ["npm", "PUT", "https://registry.npmjs.org/left-pad", "method-not-allowed"],
    ["npm", "POST", "https://registry.npmjs.org/-/npm/v1/security/advisories/bulk", "method-not-allowed"],
    ["npm", "GET", "https://pypi.org/simple/", "host-not-allowed"],
    ["pypi", "GET", "https://pypi.org/simple/requests/", "to pypi.org:443"],
    ["pypi", "GET", "https://pypi.org/pypi/requests/json", "to pypi.org:443"],
    ["pypi", "GET", "https://files.pythonhosted.org/packages/aa/bb/r-1.whl", "to files.pythonhosted.org:443"],
    ["pypi", "POST", "https://upload.pypi.org/legacy/", "host-not-allowed"],
    ["pypi", "GET", "https://pypi.org/manage/account/", "path-not-allowed"],
    ["crates", "GET", "https://index.crates.io/se/rd/serde", "to index.crates.io:443"],
    ["crates", "GET", "https://static.crates.io/crates/serde/serde-1.0.0.crate", "to static.crates.io:443"],
    ["crates", "PUT", "https://crates.io/api/v1/crates/new", "method-not-allowed"],
    ["go", "GET", "https://proxy.golang.org/github.com/!burnt!sushi/toml/@v/list", "to proxy.golang.org:443"],
    ["go", "GET", "https://sum.golang.org/lookup/golang.org/x/text@v0.3.0", "to sum.golang.org:443"],
    ["go", "GET", "https://github.com/golang/text", "host-not-allowed"],
    ["debian", "GET", "http://deb.debian.org/debian/dists/bookworm/InRelease", "to deb.debian.org:80"],
    ["debian", "GET", "http://deb.debian.org/debian/pool/main/c/curl/curl_8.deb", "to deb.debian.org:80"],
    ["debian", "GET", "http://deb.debian.org/other", "path-not-allowed"],
    [
      "github-read",
      "GET",
      "https://github.com/o/r.git/info/refs?service=git-upload-pack",
      "to github.com:443",
    ],
    ["github-read", "POST", "https://github.com/o/r.git/git-upload-pack", "to github.com:443"],
    ["github-read", "GET", "https://github.com/o/r/releases/download/v1/a.tgz", "to github.com:443"],
    ["github-read", "GET", "https://codeload.github.com/o/r/tar.gz/main", "to codeload.github.com:443"],
    [
      "github-read",
      "GET",
      "https://raw.githubusercontent.com/o/r/main/a",
      "to raw.githubusercontent.com:443",
    ],
    ["github-read", "GET", "https://api.github.com/repos/o/r", "to api.github.com:443"],
    [
      "github-read",
      "GET",
      "https://github.com/o/r.git/info/refs?service=git-receive-pack",
      "git-push-refused",
    ],
    ["github-read", "POST", "https://github.com/o/r.git/git-receive-pack", "git-push-refused"],
    ["github-read", "POST", "https://github.com/o/r/issues", "path-not-allowed"],
    ["github-read", "POST", "https://api.github.com/repos/o/r/issues", "method-not-allowed"],
    ["github-read", "POST", "https://github.com/login/oauth/access_token", "path-not-allowed"],
  ])("%s has egress say of %s %s: %s", async (name, method, url, expected) => {
    const said = await verdict(expand(name), method, url);
    // Which rule is nearest is the judge's own affair; that nothing but reading is allowed is ours.
    if (expected.endsWith("-not-allowed")) expect(said).toMatch(/-not-allowed$/);
    else expect(said).toBe(expected);
  });

  it.each(PRESET_NAMES)("%s reads alone, carries no credential and is told by its own name", (name) => {
    const { routes, presets } = expand(name);
    expect(presets).toMatchObject([{ name, from: "its default" }]);
    for (const route of routes) {
      expect(route).toMatchObject({ tls: "terminate", credentialHeaders: [], allowAddresses: [] });
      expect(route.auth).toBeUndefined();
      expect(route.matches.length).toBeGreaterThan(0);
      for (const { methods, paths } of route.matches) {
        expect(paths?.length).toBeGreaterThan(0);
        const isFetch = methods?.join() === "POST" && paths?.[0]?.value.endsWith("/git-upload-pack");
        if (!isFetch) expect(methods).toEqual(["GET", "HEAD"]);
      }
    }
  });
});

describe("npm", () => {
  it("goes where the operator's npm goes, and so does the guest's", async () => {
    const expanded = expand("npm", [
      ["npmrc", "registry=https://overridden.example/"],
      [
        "npmrc",
        '; mine\nregistry = "https://registry.example:8443/api/npm/"\n@team:registry=https://team.example\n',
      ],
    ]);
    expect(await verdict(expanded, "GET", "https://registry.example/api/npm/@types%2fnode")).toBe(
      "to registry.example:8443",
    );
    expect(await verdict(expanded, "GET", "https://team.example/@team%2fa")).toBe("to team.example:443");
    expect(await verdict(expanded, "GET", "https://overridden.example/a")).toBe("host-not-allowed");
    expect(await verdict(expanded, "GET", "https://registry.npmjs.org/a")).toBe("host-not-allowed");
    expect(expanded.presets).toMatchObject([
      {
        from: "/setup/npmrc-1",
        hosts: ["registry.example", "team.example"],
        files: [
          {
            path: "/home/node/.npmrc",
            content: "registry=https://registry.example/api/npm/\n@team:registry=https://team.example/\n",
          },
        ],
      },
    ]);
  });

  it("takes the variable before any file, and variables in files", () => {
    expect(
      expand("npm", [["npmrc", "registry=https://file.example/"]], {
        npm_config_registry: "https://variable.example",
      }).presets[0],
    ).toMatchObject({ from: "$npm_config_registry", hosts: ["variable.example"] });
    expect(
      expand("npm", [["npmrc", `registry=https://\${WHERE}/`]], { WHERE: "there.example" }).routes,
    ).toMatchObject([{ host: "there.example" }]);
  });

  it("leaves credentials out and says so", () => {
    const expanded = expand("npm", [
      [
        "npmrc",
        `registry=https://user:${secret}@registry.example/\n//registry.example/:_authToken=${secret}\n`,
      ],
    ]);
    expect(JSON.stringify(expanded)).not.toContain(secret);
    expect(expanded.warnings.join()).toContain("a credential for registry.example");
  });

  it("reads lines as npm does", () => {
    expect(npmrcEntries("a=b\n# c=d\n;e=f\n[section]\n  g = 'h'\nbroken\ni=$J", () => undefined)).toEqual([
      ["a", "b"],
      ["g", "h"],
      ["i", "$J"],
    ]);
  });
});

describe("pypi", () => {
  it("goes where the operator's pip goes, with what is beside the index", async () => {
    const expanded = expand("pypi", [
      [
        "pip",
        "[global]\nindex-url = http://index.example:3141/root/pypi/+simple/\nextra-index-url =\n  https://extra.example/simple\n  https://more.example/simple\n[list]\nindex-url=https://no.example/",
      ],
    ]);
    expect(await verdict(expanded, "GET", "http://index.example/root/pypi/+f/a.whl")).toBe(
      "to index.example:3141",
    );
    expect(await verdict(expanded, "GET", "https://extra.example/simple/a/")).toBe("to extra.example:443");
    expect(await verdict(expanded, "GET", "https://more.example/packages/a.whl")).toBe("to more.example:443");
    expect(await verdict(expanded, "POST", "https://more.example/")).toBe("method-not-allowed");
    expect(await verdict(expanded, "GET", "https://pypi.org/simple/")).toBe("host-not-allowed");
    expect(expanded.presets[0]?.env).toEqual({
      PIP_INDEX_URL: "http://index.example/root/pypi/+simple/",
      UV_DEFAULT_INDEX: "http://index.example/root/pypi/+simple/",
      PIP_EXTRA_INDEX_URL: "https://extra.example/simple/ https://more.example/simple/",
      UV_INDEX: "https://extra.example/simple/ https://more.example/simple/",
    });
  });

  it("takes the variable before any file, and leaves a password out", () => {
    const expanded = expand("pypi", [["pip", "[global]\nindex-url=https://file.example/simple"]], {
      PIP_INDEX_URL: `https://me:${secret}@variable.example/simple`,
    });
    expect(expanded.presets[0]).toMatchObject({ from: "$PIP_INDEX_URL", hosts: ["variable.example"] });
    expect(JSON.stringify(expanded)).not.toContain(secret);
    expect(expanded.warnings.join()).toContain("variable.example");
  });

  it.each<[string, string | undefined]>([
    ["[global]\nindex-url = https://a.example", "https://a.example"],
    ["[install]\nindex_url: https://b.example", "https://b.example"],
    ["[download]\nindex-url = https://c.example", undefined],
    ["index-url = https://d.example", undefined],
    ["[global]\n# index-url = https://e.example", undefined],
    ["[global]\nindex-url =", undefined],
    ["[global]\nindex-url =\n  https://f.example\ntimeout = 3", "https://f.example"],
    ["[global]\ntimeout =\n  60\n  index-url = x", undefined],
  ])("reads %j", (text, value) => {
    expect(pipValue(text, "index-url")).toBe(value);
  });
});

describe("crates", () => {
  const config = `
[source.crates-io]
replace-with = 'first' # a comment
[source."first"]
replace-with = "second"
[source.second]
registry = "sparse+https://crates.example:9443/index/"
[net]
retry = 3
`;
  it("goes to the sparse index that replaces crates.io, and so does the guest's cargo", async () => {
    const expanded = expand("crates", [["cargo", config]]);
    expect(await verdict(expanded, "GET", "https://crates.example/index/config.json")).toBe(
      "to crates.example:9443",
    );
    expect(await verdict(expanded, "GET", "https://index.crates.io/config.json")).toBe("host-not-allowed");
    expect(expanded.presets[0]?.files[0]?.content).toContain(
      'registry = "sparse+https://crates.example/index/"',
    );
  });

  it("follows one that goes round in circles no further than cargo would, and refuses a git index", () => {
    const circle = '[source]\ncrates-io.replace-with = "a"\na.replace-with = "crates-io"\n';
    expect(crates(setup([["cargo", circle]])).routes[0]?.host).toBe("index.crates.io");
    const git =
      '[source.crates-io]\nreplace-with = "g"\n[source.g]\nregistry = "https://git.example/index.git"\n';
    expect(thrownBy(() => expand("crates", [["cargo", git]])).message).toContain("no sparse index");
  });

  it("reads texts of TOML, whatever else is there", () => {
    const text = '[a."b.c".d]\ne = "f"\ng.h = \'i\'\nn = 1\nl = ["x"]\n[[j]]\n[k] # c\nm="o"\n';
    expect([...tomlStrings(text)]).toEqual([
      ['["a","b.c","d","e"]', "f"],
      ['["a","b.c","d","g","h"]', "i"],
      ['["k","m"]', "o"],
    ]);
  });
});

describe("go", () => {
  it("goes to the proxies of GOPROXY and not directly, and so does the guest's", async () => {
    const expanded = expand("go", [
      [
        "goenv",
        "GOPROXY=https://old.example\nGOPROXY=https://a.example:8443/go|http://b.example,direct\nGOSUMDB=off\n",
      ],
    ]);
    expect(await verdict(expanded, "GET", "https://a.example/go/golang.org/x/text/@v/list")).toBe(
      "to a.example:8443",
    );
    expect(await verdict(expanded, "GET", "https://a.example/elsewhere")).toBe("path-not-allowed");
    expect(await verdict(expanded, "GET", "http://b.example/x/@latest")).toBe("to b.example:80");
    expect(await verdict(expanded, "GET", "https://sum.golang.org/latest")).toBe("host-not-allowed");
    expect(expanded.presets[0]).toMatchObject({
      env: { GOPROXY: "https://a.example/go,http://b.example", GOSUMDB: "off" },
    });
    expect(expanded.warnings.join()).toContain("direct is left out");
  });

  it.each([
    ["sum.example", "https://sum.example/lookup/a@v1"],
    ["sum.example+abc+def", "https://sum.example/tile/8/0/001"],
    ["name+abc+def https://sum.example/", "https://sum.example/supported"],
  ])("asks the database %s", async (GOSUMDB, url) => {
    expect(await verdict(expand("go", [], { GOSUMDB }), "GET", url)).toBe("to sum.example:443");
  });

  it.each(["direct", "off", "off,direct"])("with GOPROXY=%s says that there is no proxy", (GOPROXY) => {
    expect(thrownBy(() => expand("go", [], { GOPROXY })).message).toContain("names no proxy");
  });
});

describe("debian", () => {
  it("goes to the archives of apt, in both of its formats, flat ones too", async () => {
    const expanded = expand("debian", [
      [
        "apt-list",
        "# deb http://no.example/debian x main\ndeb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main\ndeb-src https://mirror.example/debian bookworm main\ndeb cdrom:[x]/ bookworm main\ndeb mirror+http://m.example/list bookworm main\n",
      ],
      [
        "apt-sources",
        "# comment\nTypes: deb\nURIs: https://a.example/debian\n https://b.example/x\nSuites: bookworm\n bookworm-updates\nComponents: main\n\nEnabled: no\nTypes: deb\nURIs: https://off.example\nSuites: x\n\nTypes: deb\nURIs: http://flat.example:8080/repo\nSuites: ./\n",
      ],
    ]);
    expect(await verdict(expanded, "GET", "http://mirror.example/debian/pool/a.deb")).toBe(
      "to mirror.example:80",
    );
    expect(await verdict(expanded, "GET", "http://mirror.example/other")).toBe("path-not-allowed");
    expect(await verdict(expanded, "GET", "https://a.example/debian/dists/x")).toBe("to a.example:443");
    expect(await verdict(expanded, "GET", "https://b.example/x/pool/a")).toBe("to b.example:443");
    expect(await verdict(expanded, "GET", "http://flat.example/repo/Packages")).toBe("to flat.example:8080");
    for (const host of ["no.example", "off.example", "m.example", "deb.debian.org"]) {
      expect(await verdict(expanded, "GET", `http://${host}/debian/pool/a`)).toBe("host-not-allowed");
    }
    expect(expanded.warnings.join()).toContain("neither http nor https");
  });

  it("reads sources line by line, stanza by stanza", () => {
    expect(
      listSources("deb http://a.example b\ndebx http://c.example d\n deb http://e.example ./ \n"),
    ).toEqual([
      { uri: "http://a.example", flat: false },
      { uri: "http://e.example", flat: true },
    ]);
    expect(
      deb822Sources(
        "URIs:\n http://a.example\n# c\n http://b.example\nSuites: x\r\n\r\nUris: http://c.example\nSuites: y/",
      ),
    ).toEqual([
      { uri: "http://a.example", flat: false },
      { uri: "http://b.example", flat: false },
      { uri: "http://c.example", flat: true },
    ]);
  });
});

describe("a place that an operator's setup names", () => {
  it("by an address needs no permission besides", async () => {
    const expanded = expand("npm", [
      ["npmrc", "registry=http://10.1.2.3:4873/\n@v6:registry=http://[fd00::1]/"],
    ]);
    expect(expanded.routes).toMatchObject([
      { host: "10.1.2.3", allowAddresses: ["10.1.2.3/32"], connectTo: { host: "10.1.2.3", port: 4873 } },
      { host: "fd00::1", allowAddresses: ["fd00::1/128"] },
    ]);
    expect(await verdict(expanded, "GET", "http://10.1.2.3/a")).toBe("to 10.1.2.3:4873");
  });

  it.each([
    "http://localhost:4873/",
    "http://127.0.0.1/",
    "http://[::1]:80",
    "http://a.localhost",
    "http://0.0.0.0/",
  ])("that is this machine itself (%s) is refused with the way out", (url) => {
    expect(thrownBy(() => placeOf(url, "the registry"))).toMatchObject({
      message: expect.stringContaining("this machine itself") as string,
      hint: expect.stringContaining("connect_to") as string,
    });
  });

  it.each(["file:///srv/npm", "ftp://a.example", "registry.example", "", "git+ssh://a.example"])(
    "that is no http URL (%j) is refused, unquoted",
    (url) => {
      const error = thrownBy(() => placeOf(url === "" ? "" : `${url}?${secret}`, "the registry"));
      expect(error.message).toContain("not an http or https URL");
      expect(error.message).not.toContain(secret);
    },
  );
});

describe("presets together", () => {
  it("share a host, and each has its own paths there", async () => {
    const expanded = expandPresets(
      ["go", "pypi", "go"],
      setup([], {
        GOPROXY: "https://all.example/go",
        PIP_INDEX_URL: "https://all.example/pypi/simple",
        GOSUMDB: "off",
      }),
    );
    expect(expanded.presets.map(({ name }) => name)).toEqual(["go", "pypi"]);
    expect(expanded.routes).toHaveLength(1);
    expect(await verdict(expanded, "GET", "https://all.example/go/a")).toBe("to all.example:443");
    expect(await verdict(expanded, "GET", "https://all.example/pypi/a.whl")).toBe("to all.example:443");
    expect(await verdict(expanded, "GET", "https://all.example/npm/a")).toBe("path-not-allowed");
  });

  it("on two ports of a host are refused", () => {
    const env = { GOPROXY: "https://all.example:1/", PIP_INDEX_URL: "https://all.example:2/" };
    expect(thrownBy(() => expandPresets(["go", "pypi"], setup([], env))).message).toContain("two ports");
  });
});
