/** Micro-VMs of images that have no shell, no C library and no sound list of users: programs get exactly what they were given. */
import { existsSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { qemuBackend } from "../../../src/backends/qemu/backend.ts";
import { GUEST } from "../../../src/contract/backend.ts";
import { type RawEntry, rawArchive } from "../../support/archive-bytes.ts";
import { runIn, startBottle, type TestBottle } from "../../support/bottle-guest.ts";
import { hasImageTools, makeLayout } from "../../support/oci.ts";
import { vmLack } from "../../support/vm-host.ts";

/** Debian's static one; what it does is what it is called. */
const BUSYBOX = ["/usr/bin/busybox", "/bin/busybox"].find(existsSync);
const lack =
  (await vmLack()) ??
  (hasImageTools && BUSYBOX !== undefined ? undefined : "umoci, skopeo or a static busybox");

const DISK_BYTES = 64 * 1024 ** 2;
const TOOLS = "odd tools";
const APPLETS = ["cat", "env", "id", "pwd", "printf", "ls", "stat"] as const;
const tool = (name: (typeof APPLETS)[number]): string => `/${TOOLS}/${name}`;

/** One static program under the names of what it does, and nothing else. */
function programs(): readonly RawEntry[] {
  const [first = "cat", ...others] = APPLETS;
  return [
    { name: `${TOOLS}/`, flag: "5", mode: 0o755 },
    { name: `${TOOLS}/${first}`, content: readFileSync(BUSYBOX ?? ""), mode: 0o755 },
    ...others.map((name) => ({ name: `${TOOLS}/${name}`, flag: "1", target: `${TOOLS}/${first}` })),
  ];
}

const folder = (name: string): RawEntry => ({ name: `${name}/`, flag: "5", mode: 0o755 });

const STRANGE = [
  ["no list of users at all", []],
  [
    "a list of users that is none of ours",
    [
      folder("etc"),
      // No line end, numbers that are none, the agent's name for another number and its number for another name.
      {
        name: "etc/passwd",
        content:
          "\xff\xfe:x:4242:4242::/srv:\nnode:x:4242:4242::/srv:/no/shell\nodd name:x:1000:77::/:\nx:y:z",
      },
      { name: "etc/group", content: ":::\nnode:x:4242:node" },
    ],
  ],
  [
    "a list of users that leads to nowhere, and a folder for one of groups",
    [
      folder("etc"),
      { name: "etc/passwd", flag: "2", target: "/no/such/list", mode: 0o777 },
      folder("etc/group"),
    ],
  ],
] as const;

describe.skipIf(lack !== undefined)("a micro-VM of an image without a shell", () => {
  let bottle: TestBottle | undefined;
  let layout: Awaited<ReturnType<typeof makeLayout>> | undefined;
  afterEach(async () => {
    await bottle?.close();
    layout?.remove();
    [bottle, layout] = [undefined, undefined];
  });

  it.each(STRANGE)(
    "and with %s starts programs exactly as it is told",
    async (_what, users) => {
      layout = await makeLayout([rawArchive(...programs(), ...users)], {
        config: ["--config.user=4242:4242", "--config.env=FROM_IMAGE=yes"],
      });
      bottle = await startBottle(qemuBackend, {
        env: { OF_BOTTLE: "of the bottle" },
        resources: { pids: 64, diskBytes: DISK_BYTES },
        plan: { image: { kind: "oci-layout", path: layout.path, ref: layout.ref } },
      });
      const { guest } = bottle;
      const said = async (...[argv, options]: Parameters<typeof guest.exec>): Promise<string> => {
        const { code, stdout, stderr } = await runIn(guest, argv, options);
        expect(code, stderr.toString()).toBe(0);
        return stdout.toString("latin1");
      };

      // No shell is there that could have taken anything apart.
      expect((await said([tool("ls"), "-a", "/"])).split("\n")).not.toContain("bin");
      await expect(guest.exec(["sh", "-c", "true"])).rejects.toThrow("sh");

      const words = ["", " ", "a b", "$HOME", "`id`", "'\"\\", "*", "-n", "new\nline", "\u00e9\u202e", "--"];
      const expected = words.map((word) => `${Buffer.from(word).toString("latin1")}\0`).join("");
      expect(await said([tool("printf"), "%s\\0", ...words])).toBe(expected);
      expect(await said([tool("cat"), "/proc/self/cmdline"])).toBe(`${tool("cat")}\0/proc/self/cmdline\0`);

      const env = { EMPTY: "", ODD: "a=b \n'\"$PATH", PATH: `/${TOOLS}` };
      const variables = (await said(["env", "-0"], { env })).split("\0");
      for (const one of [
        "EMPTY=",
        "ODD=a=b \n'\"$PATH",
        `PATH=/${TOOLS}`,
        "OF_BOTTLE=of the bottle",
        "FROM_IMAGE=yes",
      ])
        expect(variables).toContain(one);

      expect(await said([tool("pwd")])).toBe(`${GUEST.home}\n`);
      expect(await said([tool("pwd")], { cwd: `/${TOOLS}` })).toBe(`/${TOOLS}\n`);
      const ids = async (user: "agent" | "root"): Promise<readonly string[]> =>
        Promise.all(["-u", "-g", "-G"].map((flag) => said([tool("id"), flag], { user })));
      expect(await ids("agent")).toEqual([`${GUEST.uid}\n`, `${GUEST.gid}\n`, `${GUEST.gid}\n`]);
      expect(await ids("root")).toEqual(["0\n", "0\n", "0\n"]);
      expect(await said([tool("stat"), "-c", "%u:%g", GUEST.home])).toBe(`${GUEST.uid}:${GUEST.gid}\n`);

      const bytes = Buffer.from(Array.from({ length: 4096 }, (_, i) => i % 256));
      const echoed = await runIn(guest, [tool("cat")], { stdin: bytes });
      expect(echoed.stdout.equals(bytes)).toBe(true);
      await expect(guest.exec(["/no/such/program"])).rejects.toThrow("/no/such/program");
    },
    120_000,
  );
});
