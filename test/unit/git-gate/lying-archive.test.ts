/** Archives whose headers say one thing to who reads along, and another to who opens them. */
import { deflateRawSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { compilePaths } from "../../../src/sidecars/git-gate/policy/paths.ts";
import { beginLook } from "../../../src/sidecars/git-gate/scan/look.ts";
import { inspectObjects } from "../../../src/sidecars/git-gate/scan/push-objects.ts";
import { inspector, look } from "../../support/archive-look.ts";
import { TOKEN } from "../../support/git-gate.ts";

const SECRET = Buffer.from(`key = ${TOKEN}\n`);
const PACKED = deflateRawSync(SECRET);

interface Said {
  readonly version?: number;
  readonly flags?: number;
  readonly method?: number;
}

/** One member; what its local header says, and what the table says. */
function zip(local: Said, table: Said, data: Buffer = PACKED, name = "a.txt"): Buffer {
  const fields = Buffer.alloc(26);
  fields.writeUInt32LE(data.length, 14);
  fields.writeUInt16LE(name.length, 22);
  const say = ({ version = 20, flags = 0, method = 8 }: Said): Buffer => {
    fields.writeUInt16LE(version, 0);
    fields.writeUInt16LE(flags, 2);
    fields.writeUInt16LE(method, 4);
    return Buffer.from(fields);
  };
  const head = [Buffer.from("PK\x03\x04", "latin1"), say(local), Buffer.from(name), data];
  const entry = [
    Buffer.from("PK\x01\x02\x14\x00", "latin1"),
    say(table),
    Buffer.alloc(14),
    Buffer.from(name),
  ];
  return Buffer.concat([...head, ...entry]);
}

describe("a zip that says of its deflated member, before it,", () => {
  it.each<[string, Said]>([
    ["that it is stored", { method: 0 }],
    ["that its method is none", { method: 0x77 }],
    ["that its method is none, and it is encrypted", { method: 0x77, flags: 1 }],
    ["that it is of a version to come", { version: 200 }],
  ])("%s shows its secret, wherever it was cut", async (_, local) => {
    const file = zip(local, {});
    for (let cut = 0; cut <= file.length; cut += 3)
      expect((await look(file, cut)).found, `cut at ${cut}`).toContain("github-token");
  });

  it("that it has no name, or one as long as a name can be, shows its secret", async () => {
    for (const length of [0, 4_097, 0xffff])
      expect((await look(zip({}, {}, PACKED, "n".repeat(length)))).found).toContain("github-token");
  });

  it.each<[string, Said, Said]>([
    ["stored, and behind it bzip2", { method: 0 }, { method: 12 }],
    ["nothing known, and behind it LZMA", { method: 0x77 }, { method: 14 }],
    ["deflated, and behind it encrypted", {}, { flags: 1 }],
    ["encrypted, by a version to come, and behind it the same", { flags: 1, version: 200 }, { flags: 1 }],
  ])("%s is refused, wherever it was cut", async (_, local, table) => {
    const file = zip(local, table, Buffer.from("\xff\xfe cannot be read", "latin1"));
    for (let cut = 0; cut <= file.length; cut += 3)
      expect((await look(file, cut)).refusal, `cut at ${cut}`).toBe("archive-unreadable");
  });
});

describe("in the last layer that is opened", () => {
  const wrapped = (inner: Buffer): Buffer => gzipSync(gzipSync(gzipSync(gzipSync(inner))));

  it("what is stored is looked at as it stands, and as what it may be", async () => {
    const honest = zip({ method: 0 }, { method: 0 }, Buffer.from("a line of words\n".repeat(20)));
    expect(await look(wrapped(honest))).toEqual({ found: [], refusal: undefined });
    expect((await look(wrapped(zip({ method: 0 }, {})))).found).toContain("github-token");
  });

  it("nothing more is opened, whatever it says it is", async () => {
    expect((await look(wrapped(zip({}, {})))).refusal).toBe("archive-too-large");
    const twice = zip({ method: 0 }, {}, deflateRawSync(zip({ method: 0 }, {})));
    expect((await look(wrapped(twice))).refusal).toBe("archive-too-large");
  });
});

describe("an honest archive", () => {
  it.each([
    ["regression: deflated", deflateRawSync("a line of words\n"), 8],
    ["stored", Buffer.from("a line of words\n"), 0],
    ["empty", Buffer.alloc(0), 0],
  ])("of hundreds of small members, %s, passes", async (_, data, method) => {
    const member = zip({ method }, { method }, data);
    expect(await look(Buffer.concat(Array.from({ length: 400 }, () => member)))).toEqual({
      found: [],
      refusal: undefined,
    });
  });
});

describe("a gzip file", () => {
  const [fixed, data] = [gzipSync(SECRET).subarray(4, 10), gzipSync(SECRET).subarray(10)];
  const gzip = (mark: string, flags: number, name: Buffer): Buffer =>
    Buffer.concat([Buffer.from(mark, "latin1"), Buffer.from([flags]), fixed, name, data]);

  it("with a mark or flags that only some programs take shows its secret", async () => {
    const none = Buffer.alloc(0);
    expect((await look(gzip("\x1f\x9e\x08", 0, none))).found).toContain("github-token");
    expect((await look(gzip("\x1f\x8b\x08", 0xe0, none))).found).toContain("github-token");
  });

  it("whose name goes on for longer than is read is refused", async () => {
    const name = Buffer.concat([Buffer.alloc(200_000, "n"), Buffer.alloc(1)]);
    expect((await look(gzip("\x1f\x8b\x08", 8, name))).refusal).toBe("archive-unreadable");
  });
});

describe("a pointer to a file in Git LFS", () => {
  it("is one wherever the pipe cut it", async () => {
    const pointer = Buffer.from("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    for (let cut = 0; cut <= pointer.length; cut++) {
      const objects = inspectObjects(
        beginLook({
          ...{ inspector, refs: [], tips: [], signal: new AbortController().signal },
          git: {} as never,
          place: {} as never,
          paths: compilePaths({ only: [], lift: [] }),
          limits: { objects: 10, fileBytes: 4096, files: 10 } as never,
          excepted: () => false,
        }),
      );
      objects.sink.begin({ id: "0".repeat(40), type: "blob", size: pointer.length, path: "big.bin" });
      await objects.sink.data(pointer.subarray(0, cut));
      await objects.sink.data(pointer.subarray(cut));
      await objects.sink.end();
      expect(objects.refusal()?.code, `cut at ${cut}`).toBe("lfs-pointer");
    }
  });
});
