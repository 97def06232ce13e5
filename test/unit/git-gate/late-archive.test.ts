import { deflateRawSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { DETECTORS } from "../../../src/inspect/detectors/index.ts";
import { compileInspector } from "../../../src/inspect/inspector.ts";
import { type Budget, inspectContent } from "../../../src/sidecars/git-gate/scan/content.ts";
import { TOKEN } from "../../support/git-gate.ts";

const inspector = compileInspector({ detectors: DETECTORS, fingerprintKey: Buffer.alloc(32, 3) });

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
      const budget: Budget = { unpacked: 0, refusal: undefined };
      const found: string[] = [];
      const content = inspectContent(
        {
          ...{ inspector, budget, unopened: () => {}, path: () => "file" },
          found: (finding) => void found.push(finding.detector),
        },
        file.length,
      );
      await content.push(file.subarray(0, cut));
      await content.push(file.subarray(cut));
      await content.end();
      expect(found, `cut at ${cut}`).toContain("github-token");
    }
  });
});
