/** Whether an answer of this host's processor is believed again. The trial itself is another's, which boots a guest. */
import { mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { chooseAcceleration, knownAnswer } from "../../../src/backends/qemu/acceleration.ts";
import type { Accelerator } from "../../../src/backends/qemu/machine.ts";

describe("what runs guests here", () => {
  let cache: string;
  let tried: Accelerator[];
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), "bb-acc-"));
    tried = [];
  });
  afterEach(() => rmSync(cache, { recursive: true }));

  const request = (qemuVersion = "7.2") => ({ arch: "x64", cache, qemuVersion }) as const;
  const works = async (accelerator: Accelerator): Promise<void> => void tried.push(accelerator);
  const fails = async (accelerator: Accelerator): Promise<void> => {
    tried.push(accelerator);
    throw new Error("it did not say hello");
  };

  it("is tried once, and again for another QEMU", async () => {
    expect(knownAnswer(request())).toBeUndefined();
    expect(await chooseAcceleration(request(), works, "kvm")).toBe("kvm");
    expect(await chooseAcceleration(request(), fails, "kvm")).toBe("kvm");
    expect(knownAnswer(request())).toBe("kvm");
    expect(await chooseAcceleration(request("8.0"), fails, "kvm")).toBe("tcg");
    expect(tried).toEqual(["kvm", "kvm"]);
  });

  it("is tried again after a day where it did not work", async () => {
    expect(await chooseAcceleration(request(), fails, "kvm")).toBe("tcg");
    expect(await chooseAcceleration(request(), works, "kvm")).toBe("tcg");
    const [name = ""] = readdirSync(join(cache, "qemu"));
    const before = Date.now() / 1_000 - 25 * 3_600;
    utimesSync(join(cache, "qemu", name), before, before);
    expect(knownAnswer(request())).toBeUndefined();
    expect(await chooseAcceleration(request(), works, "kvm")).toBe("kvm");
    expect(tried).toEqual(["kvm", "kvm"]);
  });
});
