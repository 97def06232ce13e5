import { describe, expect, it } from "vitest";
import type { ProbeTarget } from "../../../src/contract/backend.ts";
import { judge } from "../../../src/keeper/verification.ts";

const LINK: ProbeTarget = { host: "127.0.0.1", port: 9099, transport: "tcp" };
const OUTSIDE: readonly ProbeTarget[] = [
  { host: "1.1.1.1", port: 443, transport: "tcp" },
  { host: "1.1.1.1", port: 53, transport: "udp" },
  { host: "2606:4700:4700::1111", port: 443, transport: "tcp" },
];
const LOOPBACK: readonly ProbeTarget[] = [
  { host: "127.0.0.1", port: 40_000, transport: "tcp" },
  { host: "127.0.0.53", port: 53, transport: "udp" },
];

const result = (target: ProbeTarget, outcome: string) => ({ ...target, outcome, milliseconds: 1 });

function surprisesOf(target: ProbeTarget, outcome: string): readonly string[] {
  return judge([LINK], [target], [result(LINK, "answered"), result(target, outcome)]);
}

describe("a place that no guest may reach", () => {
  it.each([...OUTSIDE, ...LOOPBACK])("is out of reach by its kernel's word: $transport $host", (target) => {
    for (const outcome of ["ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"])
      expect(surprisesOf(target, outcome)).toEqual([]);
  });

  it.each([...OUTSIDE, ...LOOPBACK])("was reached when it answers: $transport $host", (target) => {
    const name = `${target.transport} ${target.host}:${target.port}`;
    expect(surprisesOf(target, "answered")).toEqual([`it can reach ${name} (answered)`]);
  });

  it("was reached when it refuses, unless that is the guest's own loopback", () => {
    for (const target of OUTSIDE) {
      const name = `${target.transport} ${target.host}:${target.port}`;
      expect(surprisesOf(target, "ECONNREFUSED")).toEqual([`it can reach ${name} (ECONNREFUSED)`]);
    }
    for (const target of LOOPBACK) expect(surprisesOf(target, "ECONNREFUSED")).toEqual([]);
  });

  it.each([
    // Packets that were dropped, or whose answers were.
    "timeout",
    // A router's word, or that of a network in which nobody has the address.
    "EHOSTUNREACH",
    "ECONNRESET",
    "EHOSTDOWN",
    // A rule, and so a route that it is about.
    "EPERM",
    "EACCES",
    "EINVAL",
    "EMFILE",
    "",
    "something new",
  ])("may be within reach when %j is all that is known", (outcome) => {
    for (const target of [...OUTSIDE, ...LOOPBACK]) {
      const name = `${target.transport} ${target.host}:${target.port}`;
      expect(surprisesOf(target, outcome)).toEqual([`it may have a way to ${name} (${outcome})`]);
    }
  });
});

describe("what came of the probes", () => {
  it("counts place by place: none may be left out, doubled or of another place", () => {
    const [first = LINK, second = LINK] = OUTSIDE;
    const ok = [result(LINK, "answered"), result(first, "ENETUNREACH"), result(second, "ENETUNREACH")];
    expect(judge([LINK], [first, second], ok)).toEqual([]);
    expect(judge([LINK], [first, second], ok.slice(0, 2))).toEqual(["udp 1.1.1.1:53 was not probed"]);
    expect(judge([LINK], [first, second], ok.with(2, result(first, "ENETUNREACH")))).toEqual([
      "udp 1.1.1.1:53 was not probed",
    ]);
    expect(judge([LINK], [first, second], [])).toHaveLength(3);
  });

  it("has the link among it, which must answer", () => {
    for (const outcome of ["timeout", "ECONNREFUSED", "ENETUNREACH"])
      expect(judge([LINK], [], [result(LINK, outcome)])).toEqual([
        `its link does not answer: tcp 127.0.0.1:9099 (${outcome})`,
      ]);
  });
});
