import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { inspected } from "../../support/inspected.ts";
import { longConversation, talk } from "../../support/long-conversation.ts";
import { GENERATED, inLines, programsUnder, textsUnder } from "../../support/ordinary-work.ts";

/**
 * Ordinary work is never blocked: whole trees of what agents read and send, with the real engine and all detectors.
 * A remaining finding must be explained in EXPLAINED, or the detector be made more precise. SOAK=1 takes whole machines.
 */
const SOAK = process.env["SOAK"] !== undefined;
const EVERYTHING = 2_000_000_000;

/** Bytes of one tree outside of soaks: all of them together take under a minute on two busy cores. */
const SAMPLE = SOAK ? EVERYTHING : 20_000_000;

/** Real keys and numbers that packages ship for their tests, and publish: true findings, told by where they lie. */
const EXPLAINED: readonly { detector: RegExp; path: RegExp; why: string }[] = [
  {
    detector: /^(?:pem|der|openssh|putty)-private-key$/,
    path: /\/(?:tests?|test_?data|testing|examples?|samples?|fixtures|certs|demo|support)[/_]|[/_]test\w*\.py|\.pem$|\.key$|doctest|conftest/i,
    why: "key pairs that libraries ship to test TLS and signatures with",
  },
  {
    detector: /^pem-private-key$/,
    path: /ssh2\/lib\/protocol\/constants\.js$/,
    why: "the key with which ssh2 finds out whether node can sign with Ed25519",
  },
  {
    detector: /^google-api-key$/,
    path: /google-cloud-sdk|googlecloudsdk|gslib/,
    why: "keys of Google's own command line tools, which Google publishes in their source",
  },
  {
    detector: /^json-web-token$/,
    path: /jwt|jose|auth|oauth|README|METADATA|PKG-INFO|moto|\/docs?\//i,
    why: "tokens printed in the documentation and tests of JWT libraries",
  },
  {
    detector: /^ethereum-private-key$/,
    path: /awscli\/examples\/iotwireless/,
    why: "made-up application keys in AWS's examples, 64 hexadecimal digits called PrivateKey",
  },
  {
    detector: /^netrc-password$/,
    path: /\/test_netrc\.py$/,
    why: "made-up passwords in Python's own test of its reader of .netrc files",
  },
];

/** What the inspector says of a text that was too much for it. */
const UNREAD: readonly string[] = ["too-much-encoding", "too-many-near-misses", "too-many-secrets"];

/** Unexplained findings of a tree, as `detector path`, and what was found in how many bytes. */
function inspectTree(folder: string, most: number): { unexplained: string[]; summary: string } {
  const unexplained: string[] = [];
  const counts = new Map<string, number>();
  let size = 0;
  for (const { path, bytes } of textsUnder(folder, most)) {
    size += bytes.length;
    for (const { detector } of inspected(bytes)) {
      counts.set(detector, (counts.get(detector) ?? 0) + 1);
      if (!EXPLAINED.some((known) => known.detector.test(detector) && known.path.test(path)))
        unexplained.push(`${detector} ${relative(folder, path)}`);
    }
  }
  const found = [...counts].map(([detector, count]) => `${count} ${detector}`).join(", ");
  return { unexplained, summary: `${folder}: ${(size / 1e6).toFixed(0)} MB: ${found || "nothing"}` };
}

function findingsIn(text: string): string[] {
  return inspected(Buffer.from(text)).map(({ detector, covered }) => `${detector}: ${covered}`);
}

describe("ordinary work", () => {
  it("holds nothing for this repository's packages: source, minified code, source maps, types and lock files", () => {
    const { unexplained, summary } = inspectTree("node_modules", SOAK ? EVERYTHING : 50_000_000);
    console.log(summary);
    expect(unexplained).toEqual([]);
  });

  it("holds nothing for this repository itself, so that it can be pushed through its own gate", () => {
    for (const folder of ["src", "test", "docs", "bench", "examples", "demo", "scripts"])
      expect(inspectTree(folder, EVERYTHING).unexplained).toEqual([]);
  });

  it("holds nothing for package-lock.json", () => {
    expect(findingsIn(readFileSync("package-lock.json", "utf8"))).toEqual([]);
  });

  /** Node's own packages and headers lie beside it on every machine; the others where they are installed. */
  const beside = (folder: string): string => join(dirname(process.execPath), "..", folder);
  const machines = [
    ...[beside("lib/node_modules"), beside("include/node"), "/usr/share/nodejs"],
    ...["/usr/lib/python3", "/usr/lib/python3.11", "/usr/share/perl", "/usr/share/tcltk"],
    ...["/usr/share/doc", "/usr/include"],
  ];
  const all = [
    "/usr/share",
    "/usr/lib",
    "/usr/include",
    `${homedir()}/.pyenv/versions`,
    `${homedir()}/.cargo`,
    "/opt",
  ];
  it.each((SOAK ? all : machines).filter((folder) => existsSync(folder)))(
    "holds nothing that is not explained for %s",
    (folder) => {
      const { unexplained, summary } = inspectTree(folder, SAMPLE);
      console.log(summary);
      expect(unexplained).toEqual([]);
    },
    SOAK ? 3_600_000 : 60_000,
  );

  it(
    "is read to its end for programs of this machine in base64, and in base64 of that",
    () => {
      const unread: string[] = [];
      for (const folder of [dirname(process.execPath), "/usr/bin", "/usr/lib"].filter(existsSync))
        for (const { path, bytes } of programsUnder(folder, SOAK ? EVERYTHING : 600_000))
          for (const [depth, text] of [inLines(bytes), inLines(Buffer.from(inLines(bytes)))].entries())
            for (const { detector } of inspected(text))
              if (UNREAD.includes(detector)) unread.push(`${detector} ${depth + 1} ${path}`);
      expect(unread).toEqual([]);
    },
    SOAK ? 3_600_000 : 60_000,
  );

  it.each(Object.keys(GENERATED))("holds nothing for %s", (name) => {
    expect(findingsIn(GENERATED[name]?.() ?? "")).toEqual([]);
  });

  it("holds nothing for a long conversation that talks about keys", () => {
    expect(findingsIn(talk())).toEqual([]);
    expect(findingsIn(longConversation(400))).toEqual([]);
  });

  it("still finds a key told in that conversation, once a turn that holds it", () => {
    const body = "q7Zk2VwX9mB4tR8sL3nD6yH1cJ5fG0pK".repeat(3).slice(0, 93);
    const key = ["sk-ant", "api03", `${body}AA`].join("-");
    const text = longConversation(400).replace("paste it here", key);
    expect(findingsIn(text)).toEqual([`anthropic-api-key: ${key}`]);
  });
});
