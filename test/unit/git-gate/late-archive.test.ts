import { deflateRawSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { look } from "../../support/archive-look.ts";
import { TOKEN } from "../../support/git-gate.ts";

describe("an archive in an archive", () => {
  it("regression: is looked at to its end before the file is through, wherever the file was cut", async () => {
    const head = Buffer.alloc(31);
    head.write("PK\x03\x04", "latin1");
    head.writeUInt16LE(20, 4);
    head.writeUInt16LE(8, 6);
    head.writeUInt16LE(8, 8);
    head.writeUInt16LE(1, 26);
    head.write("n", 30);
    const packed = deflateRawSync(gzipSync(`key = ${TOKEN}\n`));
    const file = gzipSync(Buffer.concat([head, packed, Buffer.from("PK\x07\x08", "latin1")]));
    for (let cut = 0; cut <= file.length; cut++) {
      const { found } = await look(file, cut);
      expect(found, `cut at ${cut}`).toContain("github-token");
    }
  });
});
