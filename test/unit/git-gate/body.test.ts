import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { pumpBody } from "../../../src/sidecars/git-gate/http/body.ts";
import { memoryInUse } from "../../support/memory.ts";

const COMMAND = `${"0".repeat(40)} ${"1".repeat(40)} refs/heads/`;

describe("a push's commands that come byte by byte", () => {
  it("take no more memory than others", async () => {
    const ref = "a".repeat(60_000);
    const length = 4 + COMMAND.length + ref.length;
    const line = Buffer.from(`${length.toString(16)}${COMMAND}${ref}0000`);
    const source = new PassThrough();
    const git = new PassThrough();
    git.resume();
    const request = Object.assign(source, { complete: true }) as unknown as IncomingMessage;
    const end = pumpBody(request, "identity", git, { maxBytes: 1e6, commands: true, moved: () => {} });
    const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    await settled();
    const before = memoryInUse();
    // All but the last of the line.
    for (const byte of line.subarray(0, -5)) {
      source.write(Buffer.of(byte));
      await settled();
    }
    expect(memoryInUse() - before).toBeLessThan(10 * line.length);
    source.end(line.subarray(-5));
    expect(await end).toMatchObject({ how: "complete", commands: [`${COMMAND}${ref}`] });
  });
});
