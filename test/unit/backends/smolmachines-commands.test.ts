/** smolvm's argument vectors, release by release, word by word; and how its guests get to their bundle. */
import { readFileSync } from "node:fs";
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
import { servicesFromNetstat, servicesFromProc } from "../../../src/backends/smolmachines/host-services.ts";
import { kvmLack } from "../../../src/backends/smolmachines/probe.ts";
import { environmentIn } from "../../../src/backends/smolmachines/smolvm.ts";
import {
  parseVersion,
  type SmolvmVersion,
  traitsOf,
  versionText,
} from "../../../src/backends/smolmachines/versions.ts";
import { wayFor } from "../../../src/backends/smolmachines/way.ts";
import { UserError } from "../../../src/lib/errors.ts";
import { packagePath } from "../../../src/lib/package-root.ts";

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
  // Of the releases none takes them in another way; what does is above and below.
  it("are those that every release takes, word by word", () => {
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

describe("the environment of smolvm", () => {
  it.each([
    ["0.8.0", []],
    ["1.1.3", []],
    ["1.8.0", []],
    ["1.9.0", ["SMOLVM_LANDLOCK=enforce", "SMOLVM_SECCOMP=enforce"]],
    ["1.9.3", ["SMOLVM_LANDLOCK=enforce", "SMOLVM_SECCOMP=enforce"]],
  ])("of %s has its folders, and besides what confines it where that is known: %j", (version, confining) => {
    const said = Object.entries(environmentIn("/tmp/bbv-x", traits(version))).map((pair) => pair.join("="));
    const folders = [
      "HOME=/tmp/bbv-x",
      ...["DATA_HOME=/tmp/bbv-x/data", "CACHE_HOME=/tmp/bbv-x/cache"].map((each) => `XDG_${each}`),
      ...["CONFIG_HOME=/tmp/bbv-x/config", "RUNTIME_DIR=/tmp/bbv-x/run"].map((each) => `XDG_${each}`),
    ];
    const own = [`PATH=${process.env["PATH"] ?? ""}`, "LANG=C.UTF-8"];
    expect(said.sort()).toEqual([...own, ...folders, ...confining].sort());
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
    const page = readFileSync(packagePath("docs/smolmachines.md"), "utf8");
    expect(page).toContain(`sudo sh -c '${poolCommand([])}'`);
  });

  it("sees what listens at an address, or on all of them", () => {
    const text = [
      "Active Internet connections (including servers)",
      "Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)    ",
      "tcp46      0      0  *.5000                 *.*                    LISTEN     ",
      "tcp4       0      0  127.0.0.1.631          *.*                    LISTEN     ",
      "tcp4       0      0  *.7000                 *.*                    LISTEN     ",
      "tcp4       0      0  127.0.0.16.8888        *.*                    LISTEN     ",
      "tcp4       0      0  127.0.0.160.8889       *.*                    LISTEN     ",
      "tcp4       0      0  10.0.0.5.52000         1.2.3.4.443            ESTABLISHED",
      "tcp4       0      0  *.*                    *.*                    CLOSED     ",
      "udp4       0      0  *.5353                 *.*                               ",
      "udp4       0      0  127.0.0.16.53          *.*                               ",
      "udp4       0      0  10.0.0.5.60000         1.1.1.1.53                        ",
    ].join("\n");
    expect(servicesFromNetstat(text, "127.0.0.16")).toEqual([
      { transport: "tcp", port: 5000, everywhere: true },
      { transport: "tcp", port: 7000, everywhere: true },
      { transport: "tcp", port: 8888, everywhere: false },
      { transport: "udp", port: 5353, everywhere: true },
      { transport: "udp", port: 53, everywhere: false },
    ]);
  });
});

describe("on Linux", () => {
  const head =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
  const line = (local: string, remote: string, state: string): string =>
    `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0`;

  it("what listens at an address is seen, or on all of them, in both families", () => {
    const tcp = [
      head,
      line("00000000:1388", "00000000:0000", "0A"),
      line("1000007F:22B8", "00000000:0000", "0A"),
      line("1100007F:22B9", "00000000:0000", "0A"),
      line("1000007F:22BA", "0100007F:1234", "01"),
    ].join("\n");
    expect(servicesFromProc("tcp", tcp, "127.0.0.16")).toEqual([
      { transport: "tcp", port: 5_000, everywhere: true },
      { transport: "tcp", port: 8_888, everywhere: false },
    ]);
    const any = "0".repeat(32);
    const tcp6 = [
      head,
      line(`${any}:1389`, `${any}:0000`, "0A"),
      line("0000000000000000FFFF00001000007F:138A", `${any}:0000`, "0A"),
      line("00000000000000000000000001000000:138B", `${any}:0000`, "0A"),
    ].join("\n");
    expect(servicesFromProc("tcp6", tcp6, "127.0.0.16")).toEqual([
      { transport: "tcp", port: 5_001, everywhere: true },
      { transport: "tcp", port: 5_002, everywhere: false },
    ]);
    const udp = [
      head,
      line("00000000:14E9", "00000000:0000", "07"),
      line("1000007F:0035", "00000000:0000", "07"),
      line("00000000:9C40", "01010101:0035", "01"),
    ].join("\n");
    expect(servicesFromProc("udp", udp, "127.0.0.16")).toEqual([
      { transport: "udp", port: 5_353, everywhere: true },
      { transport: "udp", port: 53, everywhere: false },
    ]);
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
