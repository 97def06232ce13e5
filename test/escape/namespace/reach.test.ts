/** I1: a guest reaches nothing but its link, in a world where somebody answers on every address there is. */
import { beforeAll, describe, expect, it } from "vitest";
import { packagePath } from "../../../src/lib/package-root.ts";
import { runOutside } from "../../support/outer-network.ts";
import type { Probe } from "../../support/probing.ts";
import { FILTER_CASES, missing, PERL, PREPARE_PERL } from "./filters.ts";
import type { ReachInput, ReachReport } from "./programs/outer-reach.ts";

const PROGRAM = packagePath("test/escape/namespace/programs/outer-reach.ts");
/** A resolver's address where programs look for one, and room for sockets where services have theirs. */
const PREPARE = `
${PREPARE_PERL}
mount -n -t tmpfs tmpfs /run
echo "nameserver 1.1.1.1" >/run/resolv.conf
if [ -f /etc/resolv.conf ]; then mount -n --bind /run/resolv.conf /etc/resolv.conf; fi`;
/** Refused or not there, and at once. Whoever answers, or keeps silent, is somebody who was reached. */
const REFUSALS = ["ECONNREFUSED", "ENETUNREACH", "EADDRNOTAVAIL", "ENOENT", "ENOTFOUND", "EAFNOSUPPORT"];
const HEARD = /^(heard|read|shared)/;

describe.each(FILTER_CASES)("I1: a guest $name", (filterCase) => {
  let report: ReachReport;
  const reason = missing(filterCase);
  beforeAll(async () => {
    if (reason !== undefined) return;
    const input: ReachInput = PERL === undefined ? {} : { perl: PERL };
    report = await runOutside<ReachReport>(PROGRAM, { hide: filterCase.hide, prepare: PREPARE, input });
  });
  const attack = (name: string, test: () => void): void => {
    it(name, (ctx) => {
      if (reason !== undefined) ctx.skip(reason);
      test();
    });
  };

  attack("control: everybody who is asked for is there, outside", () => {
    const silent = report.host.filter(({ outside }) => !HEARD.test(outside));
    // Of a host without IPv6 only that.
    const withoutSix = silent.filter(({ probe }) => !("host" in probe && probe.host.includes(":")));
    if (withoutSix.length < silent.length) console.warn("SKIPPED: this host has no IPv6 to attack");
    expect(withoutSix).toEqual([]);
    expect(report.host.length).toBeGreaterThan(90);
  });

  attack("reaches no address of the host's, no resolver, no metadata, no LAN, no socket", () => {
    // On these its own egress listens, which nobody holds yet: it hangs up, and is not the host's impostor.
    const own = (probe: Probe, inside: string): boolean =>
      probe.kind === "tcp" &&
      probe.host === "127.0.0.1" &&
      [80, 443].includes(probe.port) &&
      inside === "closed";
    expect(
      report.host.filter(({ probe, inside }) => !REFUSALS.includes(inside) && !own(probe, inside)),
    ).toEqual([]);
  });

  attack("control: what a guest offers is there, for itself", () => {
    expect(report.neighbour.filter(({ itself }) => !HEARD.test(itself))).toEqual([]);
    expect(report.neighbour.length).toBeGreaterThan(5);
  });

  attack("reaches nothing that another bottle offers", () => {
    expect(report.neighbour.filter(({ other }) => !REFUSALS.includes(other))).toEqual([]);
    expect(report.neighbourSees).not.toContain("bottle-abstract");
  });

  attack("has a loopback in its network, and no route and no listener", () => {
    expect(report.network).toEqual({ interfaces: "lo", routes: "", listeners: "0" });
  });

  attack("reaches its link as long as somebody holds it, and is refused when nobody does", () => {
    expect(report.link).toEqual({ served: "heard egress", closed: "ECONNREFUSED", after: "heard egress" });
  });
});
