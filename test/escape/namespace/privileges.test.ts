/** A guest has no privilege, gets none, and was born with nothing of its maker's in its hands. */
import { closeSync, openSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type SeccompArch, syscallNumber } from "../../../src/jail/syscalls.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { runOutside } from "../../support/outer-network.ts";
import { FILTER_CASES, missing, PERL, PREPARE_PERL } from "./filters.ts";
import type { PrivilegesInput, PrivilegesReport } from "./programs/outer-privileges.ts";

const PROGRAM = packagePath("test/escape/namespace/programs/outer-privileges.ts");
const JOIN_KEYRING = packagePath("test/escape/namespace/programs/join-keyring.pl");
const arch: SeccompArch = process.arch === "arm64" ? "arm64" : "x64";
const KEY = "bot-bottle-test-key";
const keyring = ["keyctl", "add_key"] as const;
const PREPARE =
  PERL === undefined
    ? ""
    : `
${PREPARE_PERL}
wrap="${PERL} ${JOIN_KEYRING} ${keyring.map((name) => syscallNumber(arch, name)).join(" ")} ${KEY}"`;

describe.each(FILTER_CASES)("a guest $name", (filterCase) => {
  let report: PrivilegesReport;
  const reason = missing(filterCase);
  const leak: number[] = [];
  beforeAll(async () => {
    if (reason !== undefined) return;
    leak.push(openSync("/", "r"), openSync("/etc/passwd", "r"));
    const input: PrivilegesInput = PERL === undefined ? {} : { perl: PERL, keyName: KEY };
    report = await runOutside<PrivilegesReport>(PROGRAM, {
      hide: filterCase.hide,
      prepare: PREPARE,
      input,
      leak,
    });
  });
  afterAll(() => {
    for (const fd of leak) closeSync(fd);
  });
  const attack = (name: string, test: () => void, needsPerl = false): void => {
    it(name, (ctx) => {
      if (reason !== undefined) ctx.skip(reason);
      if (needsPerl && PERL === undefined) ctx.skip("perl is not installed");
      test();
    });
  };

  attack(
    "has no capability, no second uid, no further group and no way to new privileges, in any process",
    () => {
      // Those that had ended when they were looked at are empty.
      const seen = Object.entries(report.status).filter(([, lines]) => lines.join("") !== "");
      expect(seen.map(([name]) => name)).toEqual(
        expect.arrayContaining(["an exec", "an exec on a terminal", "process 1"]),
      );
      for (const [name, lines] of seen) {
        const status = Object.fromEntries(lines.map((line) => line.split(/:\s*/)));
        expect(status, name).toMatchObject({
          Uid: "1000\t1000\t1000\t1000",
          Gid: "1000\t1000\t1000\t1000",
          NoNewPrivs: "1",
          ...Object.fromEntries(
            ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map((set) => [set, "0".repeat(16)]),
          ),
        });
        // 1000 is the guest's own. An ordinary operator's other groups cannot be given up, and mean nobody inside.
        expect(status["Groups"]?.trim() ?? "", name).toMatch(/^((65534|1000) ?)*$/);
      }
    },
  );

  attack("runs under the filter whatever it starts", () => {
    for (const name of ["an exec", "an exec on a terminal"]) {
      expect(report.status[name], name).toContain(`Seccomp:\t${filterCase.filtered ? 2 : 0}`);
    }
  });

  attack(
    "control: outside, each call is done",
    () => {
      // Whose failing is what is asked for, and a kernel that has not everything.
      const missingHere = report.calls.filter(({ outside }) =>
        ["ENOENT", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ENOSYS"].includes(outside),
      );
      const failed = report.calls.filter((call) => call.outside !== "ok" && !missingHere.includes(call));
      // As root of a user namespace of one's own some are not allowed either.
      expect(failed.filter(({ outside }) => process.getuid?.() === 0 || outside !== "EPERM")).toEqual([]);
      expect(report.calls.filter(({ outside }) => outside === "ok").length).toBeGreaterThan(7);
    },
    true,
  );

  attack(
    "is refused namespaces, mounts, devices, other users and raw sockets",
    () => {
      // Without the filter there are socket families that know no network namespace, and rarely walked protocols.
      const known = filterCase.filtered
        ? []
        : ["a vsock socket", "a socket to the kernel's audit", "a multipath TCP socket"];
      const done = report.calls.filter(({ inside }) => inside === "ok" || inside === "");
      expect(done.map(({ call }) => call).filter((call) => !known.includes(call))).toEqual([]);
    },
    true,
  );

  attack(
    "cannot find a key of the operator's session",
    () => {
      expect(report.key.outside).toBe("found");
      // What the probe says is missing without the filter.
      if (filterCase.filtered) expect(report.key.inside).not.toBe("found");
    },
    true,
  );

  attack("remains who it is in every set-id program there is", () => {
    const ids = report.setId.map((line) => line.slice(line.indexOf(" ") + 1));
    expect(
      ids.filter((id) => id !== "not started" && !/^(\s*[UG]id: 1000 1000 1000 1000)+$/.test(id)),
    ).toEqual([]);
  });

  attack("has nothing open but its sockets, pipes and terminals", () => {
    expect(report.open).toEqual([]);
  });

  attack("does not get what its keeper was born with, through which one could walk the host", () => {
    expect(report.leaked.child).not.toBe("");
    expect(report.leaked.guest).toBe("");
  });
});
