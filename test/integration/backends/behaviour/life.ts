/** How a guest ends, and that nothing is left of it. */
import { expect, it } from "vitest";
import { GUEST } from "../../../../src/contract/backend.ts";
import { UserError } from "../../../../src/lib/errors.ts";
import { sh, startBottle } from "../../../support/bottle-guest.ts";
import type { BackendUnderTest } from "../behaviour.ts";

export function testLife(under: BackendUnderTest): void {
  it("goes on when the agent closed its own home, in any other folder", async () => {
    const bottle = await startBottle(under.backend);
    await sh(bottle.guest, `chmod 0 ${GUEST.home}`);
    expect(await sh(bottle.guest, "pwd", { cwd: "/" })).toBe("/");
    await expect(bottle.guest.exec(["true"])).rejects.toBeInstanceOf(UserError);
    await bottle.close();
  });

  it("reports a crashed guest: running programs are lost, later ones refused", async () => {
    const bottle = await startBottle(under.backend);
    const { guest } = bottle;
    const running = await guest.exec(["sleep", "600"]);
    const onTerminal = await guest.exec(["sleep", "600"], { tty: { cols: 80, rows: 24 } });
    await under.crash(bottle);

    expect((await running.exit).kind).toBe("lost");
    expect((await onTerminal.exit).kind).toBe("lost");
    expect(await guest.ended).not.toBe("");
    await expect(guest.exec(["true"])).rejects.toBeInstanceOf(UserError);
    await expect(guest.dial(80)).rejects.toBeInstanceOf(UserError);
    await expect(guest.copyOut("/home/node", "/nonexistent/out")).rejects.toThrow();
    await bottle.scope.close();
    expect(await under.traces(bottle)).toEqual([]);
    await bottle.close();
  });

  const { link } = under;
  if ("not" in link) it.skip(`goes on after its link was lost (${link.not})`);
  else
    it("goes on after its link was lost: what ran is lost, and the next runs", async () => {
      const bottle = await startBottle(under.backend, { services: ["egress"] });
      const { guest } = bottle;
      for (let round = 0; round < 3; round++) {
        const running = await guest.exec(["sleep", "600"]);
        await link.lose(bottle);
        expect((await running.exit).kind).toBe("lost");
        expect(await sh(guest, "echo on")).toBe("on");
        const [answer] = await guest.probe([{ host: "127.0.0.1", port: 9099, transport: "tcp" }]);
        expect(answer?.outcome).toBe("answered");
      }
      await bottle.close();
    });

  it(
    under.survivesItsAgent
      ? "goes on when the agent killed everything it could"
      : "ends a guest whose agent killed everything it could",
    async () => {
      const bottle = await startBottle(under.backend);
      const execution = await bottle.guest.exec(["sh", "-c", "kill -9 -1"]).catch(() => undefined);
      if (under.survivesItsAgent !== true) {
        expect(await bottle.guest.ended).not.toBe("");
        await expect(bottle.guest.exec(["true"])).rejects.toBeInstanceOf(UserError);
      } else {
        // It spares the one who asks.
        expect(await execution?.exit).toEqual({ kind: "exited", code: 0 });
        expect(await sh(bottle.guest, "echo on")).toBe("on");
      }
      await bottle.close();
    },
  );

  it("leaves no process, group, mount, socket or directory after teardown, however often it is asked for", async () => {
    const bottle = await startBottle(under.backend, { services: ["egress"] });
    const orphan = "(setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 603; done' >/dev/null 2>&1 &)";
    await (await bottle.guest.exec(["sh", "-c", orphan])).exit;
    expect(await under.traces(bottle)).not.toEqual([]);
    const ended = bottle.guest.ended;
    await bottle.scope.close();
    expect(await under.traces(bottle)).toEqual([]);
    await bottle.scope.close();
    await ended;
    expect((await under.backend.enumerate()).filter((resource) => resource.bottle === bottle.id)).toEqual([]);
    await bottle.close();
  });

  it("tears down a guest that was reserved and never booted", async () => {
    const { createScope } = await import("../../../../src/lib/scope.ts");
    const { planFor, temporaryFolder } = await import("../../../support/bottle-guest.ts");
    const { removeTree } = await import("../../../../src/lib/remove-tree.ts");
    const folder = await temporaryFolder();
    const plan = planFor(under.backend);
    const scope = createScope();
    const prepared = await under.backend.prepare({ plan, tools: [] }, () => {});
    const request = {
      id: "t-reserved",
      plan,
      stateDir: folder,
      runtimeDir: folder,
      services: ["egress"] as const,
    };
    await under.backend.reserve(prepared, request, scope);
    await scope.close();
    expect((await under.backend.enumerate()).filter(({ bottle }) => bottle === "t-reserved")).toEqual([]);
    await removeTree(folder);
  });

  it("starts again in the same state directory, with the same home", async () => {
    const first = await startBottle(under.backend, { keepDisk: true });
    await (await first.guest.exec(["sh", "-c", "echo kept >~/note; ln -s / ~/trap"])).exit;
    await first.scope.close();
    const second = await startBottle(under.backend, { folder: first.folder, id: first.id });
    const { stdout } = await second.guest.exec(["cat", "note"]);
    expect(String(await new Promise((resolve) => stdout.once("data", resolve)))).toBe("kept\n");
    await second.close();
    await first.close();
  });
}
