/** Where the programs of a micro-VM lie in memory. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { qemuBackend } from "../../../src/backends/qemu/backend.ts";
import { prepareMachine } from "../../../src/backends/qemu/prepare-machine.ts";
import { runIn, sh, startBottle, type TestBottle } from "../../support/bottle-guest.ts";
import { vmLack } from "../../support/vm-host.ts";

const lack = await vmLack();

describe.skipIf(lack !== undefined)("the programs of a micro-VM", () => {
  let bottle: TestBottle;
  let isEmulated: boolean;
  beforeAll(async () => {
    bottle = await startBottle(qemuBackend);
    isEmulated = (await prepareMachine({ pids: 512 }, () => {})).spec.accelerator === "tcg";
  }, 300_000);
  afterAll(() => bottle?.close());

  /** Of each of its files, and of its stack. */
  const places = (program: string): Promise<string> =>
    sh(bottle.guest, `${program} /proc/self/maps | sed -n 's/-.* / /p' | sort -u -k 2`);

  it("lie at the same addresses each time where each is translated anew, and else at random ones", async () => {
    const [first, second] = [await places("cat"), await places("cat")];
    expect(first).toMatch(/ .*\/cat\n/);
    expect(first).toMatch(/ .*\/libc\b/);
    expect(first === second).toBe(isEmulated);
  });

  it("lie at random ones where they lend their caller another user's powers, or ask for it", async () => {
    const [lends, ofRoot] = ["/usr/local/bin/cat-of-root", "/root/word"];
    const prepare = `cp "$(command -v cat)" ${lends}; chmod 4755 ${lends}; echo lent > ${ofRoot}; chmod 600 ${ofRoot}`;
    await runIn(bottle.guest, ["sh", "-c", prepare], { user: "root", cwd: "/" });
    expect(await sh(bottle.guest, `cat ${ofRoot} 2>/dev/null || ${lends} ${ofRoot}`)).toBe("lent");
    expect(await places(lends)).not.toBe(await places(lends));
    const asks = `perl -e 'syscall(${process.arch === "arm64" ? 92 : 135}, 0) == -1 and die; exec "cat", @ARGV'`;
    expect(await places(asks)).not.toBe(await places(asks));
  });
});
