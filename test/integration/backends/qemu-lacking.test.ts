/** A host without QEMU or without a kernel for guests: the exact lines that add them, and nothing else is worse for it. */
import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli, isRoot } from "../../support/bottle-cli.ts";

/** In place of this host's folders of programs, others that lack what is named; and no kernel but the cache's. */
const WITHOUT = `mount -t tmpfs none "$1"
for folder in /usr/bin /usr/sbin; do
  mkdir -p "$1$folder/upper" "$1$folder/work"
  mount -t overlay none -o "lowerdir=$folder,upperdir=$1$folder/upper,workdir=$1$folder/work" $folder
done
mount -t tmpfs none /boot
for name in $2; do rm -f "/usr/bin/$name" "/usr/sbin/$name"; done
shift 2
exec "$@"`;

const PROGRAMS = {
  "qemu-system-x86_64": "apt-get install qemu-system-x86",
  "qemu-img": "apt-get install qemu-utils",
  dropbear: "apt-get install dropbear-bin",
  busybox: "apt-get install busybox-static",
} as const;

interface Findings {
  readonly findings: readonly {
    readonly part: string;
    readonly state: string;
    readonly lacks: readonly { readonly what: string; readonly remedy: string }[];
  }[];
}

const wrapperIn = (area: string, names: readonly string[]): readonly string[] => [
  ...["unshare", "--mount", "--propagation", "private", "--"],
  ...["sh", "-ec", WITHOUT, "sh", area, names.join(" ")],
];

describe.skipIf(!isRoot || process.arch !== "x64")("a host that cannot run micro-VMs", () => {
  let cli: BottleCli;
  beforeAll(() => {
    cli = createBottleCli();
    cli.agent("worker", ["true"]);
    cli.write("area/.keep", "");
  });
  afterAll(() => cli.remove());

  const lacking = (...names: readonly string[]) => ({ wrapper: wrapperIn(cli.path("area"), names) });
  const findings = async (options = {}): Promise<Findings["findings"]> =>
    (JSON.parse((await cli.run(["doctor", "--json"], options)).stdout) as Findings).findings;
  const kernelLine = () =>
    `mkdir -p ${cli.path("c")}/kernel && dpkg-deb -x linux-image-*.deb ${cli.path("c")}/kernel)`;

  it("is told so by doctor with the exact line for each thing that is missing", async (ctx) => {
    const names = Object.keys(PROGRAMS);
    const made = spawnSync("unshare", [...wrapperIn(cli.path("area"), names).slice(1), "true"]);
    if (made.status !== 0) ctx.skip(`no such host can be made here: ${made.stderr}`);
    const all = await findings(lacking(...names));
    const qemu = all.find(({ part }) => part === "backend qemu");
    expect(qemu?.state).toBe("missing");
    const said = Object.fromEntries(qemu?.lacks.map(({ what, remedy }) => [what, remedy]) ?? []);
    const { "a Linux kernel for guests, with its modules": kernel = "", ...programs } = said;
    expect(programs).toEqual(PROGRAMS);
    expect(kernel).toContain(
      '(cd "$(mktemp -d)" && apt-get download $(apt-cache depends linux-image-cloud-amd64 | ',
    );
    expect(kernel.endsWith(kernelLine())).toBe(true);
    // A shell takes it as it is.
    for (const line of Object.values(said)) expect(spawnSync("sh", ["-n", "-c", line]).status).toBe(0);

    const others = (from: Findings["findings"]): readonly string[] =>
      from.flatMap(({ part, state }) => (part === "backend qemu" ? [] : [`${part} ${state}`]));
    expect(others(all)).toEqual(others(await findings()));

    const { stdout } = await cli.run(["doctor"], lacking("qemu-system-x86_64"));
    expect(stdout).toMatch(
      /^missing +backend qemu +cannot be used here\n +missing qemu-system-x86_64\n +apt-get install qemu-system-x86\n +missing a Linux kernel/m,
    );
  }, 60_000);

  it("refuses what asks for one with the same lines, before anything is made", async (ctx) => {
    const options = lacking("qemu-system-x86_64");
    if (spawnSync("unshare", [...options.wrapper.slice(1), "true"]).status !== 0)
      ctx.skip("no such host here");
    const { code, stderr } = await cli.run(
      ["start", "worker", "--backend", "qemu", "--yes", "-p", "x"],
      options,
    );
    expect(code).toBe(1);
    expect(stderr).toContain("apt-get install qemu-system-x86");
    expect(stderr).toContain(kernelLine());
    expect(cli.kept()).toEqual([]);
  }, 60_000);
});
