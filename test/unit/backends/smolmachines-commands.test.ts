/** smolvm's argument vectors, release by release, word by word; and how its guests get to their bundle. */
import { describe, expect, it } from "vitest";
import { poolCommand } from "../../../src/backends/smolmachines/alias.ts";
import {
  copyInCommand,
  createCommand,
  deleteCommand,
  execCommand,
  listCommand,
  packCommand,
  startCommand,
  statusCommand,
  stopCommand,
  versionCommand,
} from "../../../src/backends/smolmachines/commands.ts";
import { kvmLack } from "../../../src/backends/smolmachines/probe.ts";
import { portsFromNetstat } from "../../../src/backends/smolmachines/reach.ts";
import {
  parseVersion,
  type SmolvmVersion,
  traitsOf,
  versionText,
} from "../../../src/backends/smolmachines/versions.ts";
import { wayFor } from "../../../src/backends/smolmachines/way.ts";
import { UserError } from "../../../src/lib/errors.ts";

/** An argument vector none of whose words has a blank. */
const words = (text: string): readonly string[] => text.split(" ");

function versionOf(text: string): SmolvmVersion {
  return parseVersion(`smolvm ${text}`) ?? expect.fail(`no version: ${text}`);
}

const traits = (text: string) => traitsOf(versionOf(text));
const from = "/c/x.smolmachine";
const net = { kind: "net", allow: ["127.0.0.16/32"] } as const;
const sockets = {
  kind: "none",
  sockets: [
    { host: "/run/u/egress-main.sock", guest: "/run/bottle/egress-main.sock" },
    { host: "/run/u/egress-tls.sock", guest: "/run/bottle/egress-tls.sock" },
  ],
} as const;

describe("create", () => {
  it.each([
    ["0.8.0", words("machine create bot-bottle-a --from /c/x.smolmachine --net --allow-cidr 127.0.0.16/32")],
    ["1.0.1", words("machine create bot-bottle-a --from /c/x.smolmachine --net --allow-cidr 127.0.0.16/32")],
    [
      "1.0.2",
      words("machine create --name bot-bottle-a --from /c/x.smolmachine --net --allow-cidr 127.0.0.16/32"),
    ],
    [
      "1.1.3",
      words("machine create --name bot-bottle-a --from /c/x.smolmachine --net --allow-cidr 127.0.0.16/32"),
    ],
    [
      "1.8.0",
      words("machine create --name bot-bottle-a --from /c/x.smolmachine --net --allow-cidr 127.0.0.16/32"),
    ],
  ])("with %s names the machine as that release wants it, and asks for one address", (version, words) => {
    expect(createCommand(traits(version), { name: "bot-bottle-a", from, network: net })).toEqual(words);
  });

  it("with 1.9.3 mounts sockets, and asks for no network", () => {
    const words = createCommand(traits("1.9.3"), { name: "bot-bottle-a", from, network: sockets });
    expect(words).toEqual([
      ...["machine", "create", "--name", "bot-bottle-a", "--from", "/c/x.smolmachine"],
      ...["--mount-socket", "/run/u/egress-main.sock:/run/bottle/egress-main.sock"],
      ...["--mount-socket", "/run/u/egress-tls.sock:/run/bottle/egress-tls.sock"],
    ]);
  });

  it("passes resources", () => {
    const spec = { name: "m", from, network: { kind: "net", allow: [] } } as const;
    expect(createCommand(traits("1.1.3"), { ...spec, cpus: 2, memoryMiB: 512 })).toEqual([
      ...["machine", "create", "--name", "m", "--from", from, "--cpus", "2", "--mem", "512", "--net"],
    ]);
  });

  it.each(["0.8.0", "1.1.3", "1.8.0", "1.9.3"])(
    "with %s has neither volume nor environment nor published port",
    (version) => {
      for (const network of [net, sockets]) {
        const words = createCommand(traits(version), { name: "m", from, network });
        for (const flag of ["-v", "--volume", "-e", "--env", "-p", "--port", "--secret-env", "--ssh-agent"])
          expect(words).not.toContain(flag);
      }
    },
  );
});

describe("the other commands", () => {
  it("are those that every release takes", () => {
    expect(versionCommand).toEqual(["--version"]);
    expect(listCommand).toEqual(["machine", "ls", "--json"]);
    expect(startCommand("m")).toEqual(["machine", "start", "--name", "m"]);
    expect(stopCommand("m")).toEqual(["machine", "stop", "--name", "m"]);
    expect(statusCommand("m")).toEqual(["machine", "status", "--name", "m", "--json"]);
    expect(copyInCommand("m", "/a b", "/opt/x")).toEqual(["machine", "cp", "/a b", "m:/opt/x"]);
    expect(packCommand("localhost:5/x:latest", "/o")).toEqual([
      ...["pack", "create", "--image", "localhost:5/x:latest", "--output", "/o"],
    ]);
  });

  it("run a program after --, with its streams, on a terminal, or neither", () => {
    const run = ["machine", "exec", "--name", "m"];
    expect(execCommand("m", ["true"])).toEqual([...run, "--", "true"]);
    expect(execCommand("m", ["cat", "-"], { input: true })).toEqual([...run, "-i", "--", "cat", "-"]);
    expect(execCommand("m", ["sh"], { terminal: true })).toEqual([...run, "-i", "-t", "--", "sh"]);
  });

  it.each([
    ["0.8.0", ["machine", "delete", "m", "-f"]],
    ["1.9.3", ["machine", "delete", "--name", "m", "-f"]],
  ])("delete with %s, without being asked", (version, words) => {
    expect(deleteCommand(traits(version), "m")).toEqual(words);
  });
});

describe("versions", () => {
  it.each([
    ["smolvm 0.8.0\n", "0.8.0"],
    ["smolvm v1.9.3 (abc)", "1.9.3"],
    ["smolvm 2.0.0-rc.1", "2.0.0"],
  ])("reads %j", (text, version) => {
    expect(versionText(parseVersion(text) ?? expect.fail("none"))).toBe(version);
  });

  it.each(["", "smolvm", "other 1.0.0", "smolvm 1.0", "Error: smolvm 1.0.0"])("reads none in %j", (text) => {
    expect(parseVersion(text)).toBeUndefined();
  });

  it("takes later ones for what the last known one is", () => {
    expect(traits("2.3.0")).toEqual(traits("1.9.3"));
  });
});

describe("the way to the bundle", () => {
  const way = (version: string, room: boolean) => wayFor({ traits: traits(version), text: version }, room);

  it.each([
    ["0.8.0", { kind: "room", address: "127.0.0.1", allow: ["127.0.0.1/32"] }],
    ["1.1.3", { kind: "room", address: "127.0.0.1", allow: ["127.0.0.1/32"] }],
    ["1.7.3", { kind: "room", address: "127.0.0.1", allow: ["127.0.0.1/32"] }],
    ["1.8.0", { kind: "room", address: "100.96.0.1", allow: ["100.96.0.1/32"] }],
    ["1.9.3", { kind: "sockets" }],
  ])("with %s and a network namespace is where that release leads", (version, expected) => {
    expect(way(version, true)).toEqual(expected);
  });

  it.each(["0.8.0", "1.1.3"])("with %s alone is an address of its own", (version) => {
    expect(way(version, false)).toEqual({ kind: "alias" });
  });

  it("is refused where a release opens the whole loopback, by version, hole and remedy", () => {
    expect(() => way("1.8.0", false)).toThrow(UserError);
    expect(() => way("1.8.0", false)).toThrow(/smolvm 1\.8\.0 .*hole A\.7\.1/);
  });
});

describe("on macOS (untried there)", () => {
  it("makes all sixteen addresses with one command, and only those that are missing", () => {
    const all = Array.from({ length: 16 }, (_, i) => `127.0.0.${16 + i}`);
    expect(poolCommand([])).toBe(`for a in ${all.join(" ")}; do ifconfig lo0 alias $a up; done`);
    expect(poolCommand(all.slice(1))).toBe("for a in 127.0.0.16; do ifconfig lo0 alias $a up; done");
    expect(poolCommand(["127.0.0.1", ...all])).toBeUndefined();
  });

  it("sees what listens on all addresses", () => {
    const text = [
      "Active Internet connections (including servers)",
      "Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)    ",
      "tcp46      0      0  *.5000                 *.*                    LISTEN     ",
      "tcp4       0      0  127.0.0.1.631          *.*                    LISTEN     ",
      "tcp4       0      0  *.7000                 *.*                    LISTEN     ",
      "tcp4       0      0  10.0.0.5.52000         1.2.3.4.443            ESTABLISHED",
    ].join("\n");
    expect(portsFromNetstat(text)).toEqual([5000, 7000]);
  });
});

describe("KVM", () => {
  it("is missed by name, with what adds it", () => {
    expect(kvmLack("/nowhere/kvm")).toMatchObject({
      what: "KVM (/nowhere/kvm)",
      remedy: expect.stringContaining("modprobe"),
    });
    expect(kvmLack("/dev/null")).toBeUndefined();
  });
});
