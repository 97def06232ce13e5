/** Many things at once in a machine whose release kills programs that begin together. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSmolmachinesBackend } from "../../../src/backends/smolmachines/backend.ts";
import { finish, runIn, sh, startBottle, type TestBottle } from "../../support/bottle-guest.ts";
import { useSmolvm } from "../../support/smolmachines-host.ts";
import { because, standInLack } from "../../support/smolvm.ts";

const TERMINALS = 6;
const PROGRAMS = 40;

const lack = standInLack();
if (lack !== undefined) console.warn(`SKIPPED: a burst of programs in a machine: ${lack}`);

describe.skipIf(lack !== undefined)(`a machine of smolvm 0.8.0${because(lack)}`, () => {
  let used: ReturnType<typeof useSmolvm>;
  let bottle: TestBottle;
  beforeAll(async () => {
    used = useSmolvm("0.8.0", { opened: ["A.8-exec"] });
    bottle = await startBottle(createSmolmachinesBackend());
  });
  afterAll(async () => {
    await bottle?.close();
    used?.undo();
  });

  it("runs programs, root's among them, and terminals that all begin in one moment", async () => {
    const { guest } = bottle;
    const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i);
    const terminals = numbers(TERMINALS).map((i) => {
      const argv = ["sh", "-c", `echo $(tty) $(stty size); exit ${i}`] as const;
      return guest.exec(argv, { tty: { cols: 60 + i, rows: 20 } });
    });
    // Now the next one begins.
    await terminals[0];
    const [plain, roots, seen] = await Promise.all([
      Promise.all(numbers(PROGRAMS).map((i) => sh(guest, `echo plain $(id -u) ${i}`))),
      // Whose channel is opened now.
      Promise.all(numbers(PROGRAMS).map((i) => sh(guest, `echo root $(id -u) ${i}`, { user: "root" }))),
      Promise.all(terminals.map(async (terminal) => finish(await terminal))),
    ]);
    expect(plain).toEqual(numbers(PROGRAMS).map((i) => `plain 1000 ${i}`));
    expect(roots).toEqual(numbers(PROGRAMS).map((i) => `root 0 ${i}`));
    expect(seen.map(({ code }) => code)).toEqual(numbers(TERMINALS));
    const places = seen.map(({ stdout }) => stdout.toString().trim());
    for (const [i, place] of places.entries())
      expect(place).toMatch(new RegExp(`^/dev/pts/\\d+ 20 ${60 + i}$`));
    expect((await runIn(guest, ["true"])).code).toBe(0);
  });
});
