/**
 * Who can be reached from a smolmachines bottle, in a network where impostors own the world: each hole of each release
 * is open unless a test closes it, and either it leads nowhere or no agent is started.
 */
import { describe, expect, it } from "vitest";
import { ALIASES } from "../../../src/backends/smolmachines/alias.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { runOutside } from "../../support/outer-network.ts";
import { drawn } from "../../support/random.ts";
import { because, SMOLVM_VERSIONS, standInLack } from "../../support/smolvm.ts";
import type { AliasesReport } from "./programs/smolmachines-aliases.ts";
import type { ReachInput, ReachReport } from "./programs/smolmachines-reach.ts";

const PROGRAM = packagePath("test/integration/backends/programs/smolmachines-reach.ts");
const TAKER = packagePath("test/integration/backends/programs/smolmachines-aliases.ts");
/** So that whoever asks this host's own resolver asks an impostor. */
const RESOLVER =
  "mount -n -t tmpfs none /mnt; echo nameserver 1.1.1.1 >/mnt/resolv.conf; mount -n --bind /mnt/resolv.conf /etc/resolv.conf";

const lack = standInLack();
if (lack !== undefined) console.warn(`SKIPPED: what machines reach: ${lack}`);

/** Each machine is a dozen programs: on a busy host, two of them take a minute. */
const REACH_MS = 170_000;

const reach = (input: ReachInput, timeoutMs = REACH_MS): Promise<ReachReport> =>
  runOutside<ReachReport>(PROGRAM, { input, prepare: RESOLVER, timeoutMs });

/** What the guest of one that was refused reached: `tcp 1.1.1.1:443`, with the hole by which it did. */
function reached({ error = "" }: ReachReport): readonly string[] {
  return [...error.matchAll(/^ {2}(\S+ \S+) \(.*; hole ([\w.]+)\)$/gm)].map(
    ([, target, hole]) => `${target} ${hole}`,
  );
}

function answered(outcomes: Readonly<Record<string, string>>): readonly string[] {
  return Object.keys(outcomes).filter((target) => outcomes[target] === "answered");
}

/** Each must be there for those who may reach it, or the test shows nothing. */
function expectControls({ outside }: ReachReport, ...more: readonly string[]): void {
  expect(Object.keys(outside)).toEqual(expect.arrayContaining(["tcp 127.0.0.1:9", ...more]));
  expect(Object.values(outside)).toEqual(Array.from({ length: 7 + more.length }, () => "answered"));
}

describe.skipIf(lack !== undefined)(`a machine in a network namespace${because(lack)}`, () => {
  it.each(drawn("what machines reach", SMOLVM_VERSIONS, 1))(
    "of smolvm %s reaches its bundle and nothing else, whatever its filter does: 127.0.0.1:9 refuses",
    async (version) => {
      const report = await reach({ version, rooms: true });
      expect(report.error).toBeUndefined();
      expectControls(report);
      const [url = ""] = report.guestUrls;
      expect(report.inside.map(answered)).toEqual([[`tcp ${new URL(url).host}`]]);
      expect(report.inside[0]?.["tcp 127.0.0.1:9"]).toBe("ECONNREFUSED");
      expect(report.surprises).toEqual([[]]);
      expect(report.left).toEqual([]);
    },
  );
});

describe.skipIf(lack !== undefined)(`a machine on an address of the host's loopback${because(lack)}`, () => {
  it("whose release forgets its policy and ignores it is refused, by release, hole and remedy", async () => {
    const report = await reach({ version: "0.8.0", rooms: false });
    expectControls(report);
    expect(report.error).toMatch(
      /^smolvm 0\.8\.0 lets the guest reach what it must not, and its stored record was corrected/,
    );
    expect(report.error).toMatch(
      /tcp 127\.0\.0\.1:\d+ \(other ports of this host's loopback; hole A\.7\.2\)/,
    );
    expect(report.error).toMatch(/tcp 1\.1\.1\.1:443 .*hole A\.7\.5/);
    expect(report.error).toMatch(/tcp 169\.254\.169\.254:80 .*hole A\.7\.8/);
    expect(report.left).toEqual([]);
  });

  it("whose release only forgets its policy runs once its record was corrected, and reaches its bundle alone", async () => {
    const report = await reach({ version: "0.8.0", closed: ["A.7.3"], rooms: false });
    expect(report.error).toBeUndefined();
    expectControls(report);
    expect(report.guestUrls).toEqual(["http://127.0.0.16:9099"]);
    expect(report.inside.map(answered)).toEqual([["tcp 127.0.0.16:9099"]]);
    expect(report.surprises).toEqual([[]]);
    expect(report.left).toEqual([]);
  });

  it("does not see another bottle's, nor what else listens there", async () => {
    const report = await reach({ version: "0.8.0", closed: ["A.7.3"], rooms: false, bottles: 2 });
    expect(report.error).toBeUndefined();
    expect(report.guestUrls).toEqual(["http://127.0.0.16:9099", "http://127.0.0.17:9099"]);
    expectControls(report, "tcp 127.0.0.16:8888");
    expect(report.inside.map(answered)).toEqual([["tcp 127.0.0.16:9099"], ["tcp 127.0.0.17:9099"]]);
    expect(report.inside[1]).toHaveProperty(["tcp 127.0.0.16:8888"]);
  });

  it("is refused where more listens than can be asked about", async () => {
    const report = await reach({ version: "0.8.0", closed: ["A.7.3"], rooms: false, crowd: 201 });
    expect(report.error).toMatch(
      /^201 services of this host's listen where 127\.0\.0\.16 leads, and no more than 200 /,
    );
    expect(report.left).toEqual([]);
  });

  it("with no hole but one is refused for what is found there, and a record that says otherwise is left alone", async () => {
    const holds = { version: "0.8.0", closed: ["A.7.2", "A.7.3"], rooms: false };
    const [opened, gateway] = await Promise.all([
      reach({ ...holds, opened: ["A.7.5", "A.7.8"] }),
      reach({ version: "1.1.3", closed: ["A.7.2"], rooms: false }),
    ]);
    for (const report of [opened, gateway]) {
      expectControls(report);
      expect(report.left).toEqual([]);
    }
    expect(reached(opened)).toEqual([
      "tcp 1.1.1.1:443 A.7.5",
      "udp 1.1.1.1:53 A.7.5",
      "tcp 169.254.169.254:80 A.7.8",
    ]);
    expect(opened.error).toContain("its row does not say what was expected of it");
    expect(reached(gateway)).toEqual(["udp 100.96.0.1:53 A.7.6"]);
  });

  it("whose start fails leaves no process of a machine's, although no network of its own tells whose it is", async () => {
    const report = await reach({ version: "0.8.0", rooms: false, failing: ["start"] });
    expect(report.error).toContain("smolvm 0.8.0 could not start the machine: failed to boot machine");
    expect(report.left).toEqual([]);
  });

  it("is refused while somebody listens on all addresses, or has a port of its own, TCP or UDP: each is named", async () => {
    const besides = [
      { port: 8_888, transport: "tcp" },
      { port: 5_353, transport: "udp" },
    ] as const;
    const report = await reach({
      ...{ version: "0.8.0", closed: ["A.7.3"], rooms: false },
      ...{ everywhere: 7_777, besides },
    });
    expect(reached(report).filter((line) => line.includes(" 127.0.0.16:"))).toEqual([
      "udp 127.0.0.16:5353 A.7.1",
      "tcp 127.0.0.16:7777 A.7.1",
      "tcp 127.0.0.16:8888 A.7.1",
    ]);
    expect(report.error).toMatch(
      /tcp 127\.0\.0\.16:7777 \(a service of this host's that listens on all its addresses/,
    );
    expect(report.error).toMatch(
      /tcp 127\.0\.0\.16:8888 \(a service of this host's that listens on the bottle's own address/,
    );
    expect(report.left).toEqual([]);
  });

  it("runs while such a service is listed, and reaches that and its bundle", async () => {
    const input = { version: "0.8.0", closed: ["A.7.3"], rooms: false, everywhere: 7_777 };
    const [report, other] = await Promise.all([
      reach({ ...input, hostServices: [7_777] }),
      reach({ ...input, hostServices: [7_778] }),
    ]);
    expect(report.error).toBeUndefined();
    expect(report.inside.map(answered)).toEqual([["tcp 127.0.0.16:9099", "tcp 127.0.0.16:7777"]]);
    expect(other.error).toContain("127.0.0.16:7777");
  });

  it("of a release of which no correction is known is refused", async () => {
    const report = await reach({ version: "1.1.3", rooms: false });
    expect(report.error).toMatch(
      /^smolvm 1\.1\.3 lets the guest reach what it must not, and nothing is known to correct that/,
    );
    expect(report.error).toMatch(/hole A\.7\.2/);
    expect(report.left).toEqual([]);
  });

  it("of a release that opens the whole loopback is refused before anything is made", async () => {
    const report = await reach({ version: "1.8.0", rooms: false });
    expect(report.error).toMatch(
      /smolvm 1\.8\.0 leads a guest to every port of this host's loopback or to none \(hole A\.7\.1\)/,
    );
    expect(report.left).toEqual([]);
  });

  it("is not needed by one that has no network at all", async () => {
    const report = await reach({ version: "1.9.3", rooms: false });
    expect(report.error).toBeUndefined();
    expectControls(report);
    expect(report.inside.map(answered)).toEqual([["tcp 127.0.0.1:9099"]]);
    expect(report.inside[0]?.["tcp 1.1.1.1:443"]).toBe("ENETUNREACH");
    expect(report.surprises).toEqual([[]]);
  });
});

const SOAK_MS = 900_000;

const short = lack ?? (process.env["SOAK"] === undefined ? "npm run soak -- aliases" : undefined);

describe.skipIf(short !== undefined)(`many machines at once${because(short)}`, () => {
  it(
    "of seventeen are sixteen, each on an address of its own where it sees its bundle alone, and one that is refused",
    async () => {
      const report = await reach({ version: "0.8.0", closed: ["A.7.3"], rooms: false, bottles: 17 }, SOAK_MS);
      expect(report.error).toBe("all 16 loopback addresses for bottles are in use");
      const places = ALIASES.map((alias) => `${alias}:9099`);
      expect(report.guestUrls).toEqual(places.map((place) => `http://${place}`));
      expect(report.inside.map(answered)).toEqual(places.map((place) => [`tcp ${place}`]));
      expect(report.surprises).toEqual(ALIASES.map(() => []));
      expect(report.left).toEqual([]);
    },
    SOAK_MS,
  );

  it(
    "without a network are as many as there are, and each sees its bundle alone",
    async () => {
      const report = await reach({ version: "1.9.3", rooms: false, bottles: 16 }, SOAK_MS);
      expect(report.error).toBeUndefined();
      expect(report.inside.map(answered)).toEqual(ALIASES.map(() => ["tcp 127.0.0.1:9099"]));
      expect(report.surprises).toEqual(ALIASES.map(() => []));
      expect(report.left).toEqual([]);
    },
    SOAK_MS,
  );
});

describe.skipIf(lack !== undefined)(`loopback addresses${because(lack)}`, () => {
  it("are sixteen for sixteen bottles at once, and the seventeenth is refused", async () => {
    // Where no other bottle can have one of them.
    const { taken, refused, again } = await runOutside<AliasesReport>(TAKER);
    expect([...taken].sort()).toEqual([...ALIASES].sort());
    expect(refused).toBe("all 16 loopback addresses for bottles are in use");
    expect(again).toBe("127.0.0.18");
  });
});
