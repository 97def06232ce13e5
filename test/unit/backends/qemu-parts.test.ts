/** The small parts of a micro-VM's start: what is unpacked, packed and said to QEMU. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { packCpio } from "../../../src/backends/qemu/cpio.ts";
import { findKernel, plainKernel, readModule } from "../../../src/backends/qemu/kernel.ts";
import { LZ4_LEGACY, unpackLz4 } from "../../../src/backends/qemu/lz4.ts";
import { type MachineSpec, qemuArgv } from "../../../src/backends/qemu/machine.ts";
import { placeMounts } from "../../../src/backends/qemu/mounts-disk.ts";
import { ramDiskOf } from "../../../src/backends/qemu/ram-disk.ts";
import { type TemplateSpec, templatePath, templatesOf } from "../../../src/backends/qemu/template.ts";
import { counterKilohertz } from "../../../src/backends/qemu/time-counter.ts";
import { UserError } from "../../../src/lib/errors.ts";
import { packagePath } from "../../../src/lib/package-root.ts";

const SPEC: MachineSpec = {
  arch: "x64",
  accelerator: "tcg",
  cpus: 2,
  memoryBytes: 512 * 1024 ** 2,
  kernel: "/machine/kernel",
  ramDisk: "/machine/ramdisk",
  portFd: 4,
  monitorFd: 5,
  disks: [{ path: "/machine/disk0", format: "qcow2" }, "none"],
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bbp-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("a machine in QEMU's words", () => {
  it("has no network device, no display, no PCI bus and no shared folder", () => {
    const words = qemuArgv(SPEC);
    expect(words.join(" ")).not.toMatch(/net|vga|usb|virtfs|9p|vhost|vsock|balloon|-monitor /);
    expect(words).toContain("-nodefaults");
    expect(words).toContain("microvm");
    expect(words.filter((word) => word.startsWith("virtio-") || word.startsWith("virtserial"))).toEqual([
      "virtio-serial-device,max_ports=2",
      "virtserialport,chardev=link,name=link",
      "virtio-blk-device,drive=disk0",
      "virtio-blk-device,drive=disk1",
    ]);
  });

  it("is held to QEMU's own filter, and told its clock where that is emulated", () => {
    expect(qemuArgv(SPEC).join(" ")).toContain("spawn=deny");
    expect(qemuArgv(SPEC, 2_596_126).join(" ")).toContain(" tsc_early_khz=2596126 tsc=reliable ");
    expect(qemuArgv({ ...SPEC, accelerator: "kvm" }, 2_596_126).join(" ")).not.toContain("tsc");
    expect(qemuArgv(SPEC)).toContain("max,erms=off");
    expect(qemuArgv({ ...SPEC, accelerator: "kvm" })).toContain("host");
  });

  it("believes a counter whose speed the host's kernel knows, and no other", () => {
    const cpuinfo = (flags: string, speed = "2596.126") =>
      `processor\t: 0\nflags\t\t: fpu tsc ${flags} sse2\ncpu MHz\t\t: ${speed}\n`;
    expect(counterKilohertz(cpuinfo("hypervisor constant_tsc"))).toBe(2_596_126);
    for (const flags of ["constant_tsc", "hypervisor", "hypervisor constant_tsc aperfmperf"])
      expect(counterKilohertz(cpuinfo(flags)), flags).toBeUndefined();
    expect(counterKilohertz(cpuinfo("hypervisor constant_tsc", "unknown"))).toBeUndefined();
    expect(counterKilohertz("")).toBeUndefined();
  });

  it("keeps a read-only disk from being written to", () => {
    const disks = [{ path: "/m", format: "raw", readOnly: true } as const];
    expect(qemuArgv({ ...SPEC, disks }).join(" ")).toContain("read-only=on");
  });
});

describe("LZ4's old container", () => {
  /** Literals alone: the smallest that a compressor could write. */
  const literals = (bytes: Buffer): Buffer => {
    const more = bytes.length - 15;
    const lengths =
      more < 0 ? [] : [...Array.from({ length: Math.floor(more / 255) }, () => 255), more % 255];
    const block = Buffer.concat([Buffer.from([Math.min(bytes.length, 15) << 4, ...lengths]), bytes]);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(block.length);
    return Buffer.concat([LZ4_LEGACY, size, block]);
  };

  it("gives back any bytes that were put in as they are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        expect(unpackLz4(literals(Buffer.from(bytes)), 1e6).equals(Buffer.from(bytes))).toBe(true);
      }),
    );
  });

  it("repeats what overlaps itself", () => {
    // "ab", then 20 bytes from two bytes before: token 2 literals, match 15 and 1 more.
    const block = Buffer.from([0x2f, 0x61, 0x62, 0x02, 0x00, 0x01, 0x10, 0x7a]);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(block.length);
    expect(unpackLz4(Buffer.concat([LZ4_LEGACY, size, block]), 1e6).toString()).toBe(`${"ab".repeat(11)}z`);
  });

  it("refuses what is cut short, points before its beginning, or is larger than it may be", () => {
    const block = (bytes: number[]): Buffer =>
      Buffer.concat([LZ4_LEGACY, Buffer.from([bytes.length, 0, 0, 0]), Buffer.from(bytes)]);
    expect(() => unpackLz4(block([0xf0]), 1e6)).toThrow("cut short");
    expect(() => unpackLz4(block([0x10, 0x61, 0x05, 0x00]), 1e6)).toThrow("damaged");
    expect(() => unpackLz4(literals(Buffer.alloc(1000)), 999)).toThrow("more than");
  });

  it("never hangs or writes past its end, whatever it is given", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          unpackLz4(Buffer.concat([LZ4_LEGACY, Buffer.from(bytes)]), 1e8);
        } catch {}
      }),
    );
  });
});

describe("the RAM disk", () => {
  it("regression: is not that of another installation, which has programs of its own for guests", () => {
    const kernel = { image: "/boot/vmlinuz", modules: "/lib/modules/6", release: "6" };
    expect(ramDiskOf(kernel)).toContain(packagePath("dist/programs/qemu"));
  });

  it("is what cpio itself unpacks", () => {
    const archive = packCpio([
      { kind: "folder", path: "bin" },
      { kind: "file", path: "bin/odd", content: Buffer.from("odd"), mode: 0o755 },
      { kind: "link", path: "init", target: "bin/odd" },
    ]);
    execFileSync("python3", ["-c", READ_CPIO, folder], { input: archive });
    expect(execFileSync("cat", [join(folder, "bin_odd")], { encoding: "utf8" })).toBe("100755 odd");
    expect(execFileSync("cat", [join(folder, "init")], { encoding: "utf8" })).toBe("120777 bin/odd");
  });
});

/** Reads the format by its own description, and writes a file for each entry: mode and content. */
const READ_CPIO = `import sys, os
data, at = sys.stdin.buffer.read(), 0
while True:
    assert data[at:at+6] == b"070701"
    field = lambda n: int(data[at+6+8*n:at+14+8*n], 16)
    name = data[at+110:at+110+field(11)-1].decode()
    body = (at + 110 + field(11) + 3) // 4 * 4
    if name == "TRAILER!!!": break
    content = data[body:body+field(6)]
    open(os.path.join(sys.argv[1], name.replace("/", "_")), "wb").write(b"%o " % field(1) + content)
    at = (body + field(6) + 3) // 4 * 4
`;

describe("the kernel for guests", () => {
  const install = (
    release: string,
    modules = ["virtio_ring", "virtio", "virtio_mmio", "virtio_console", "virtio_blk"],
  ) => {
    mkdirSync(join(folder, "kernel/boot"), { recursive: true });
    writeFileSync(join(folder, `kernel/boot/vmlinuz-${release}`), release);
    for (const place of ["virtio", "char", "block"]) {
      mkdirSync(join(folder, "kernel/lib/modules", release, "kernel/drivers", place), { recursive: true });
    }
    for (const name of modules) {
      const place = name === "virtio_blk" ? "block" : name === "virtio_console" ? "char" : "virtio";
      writeFileSync(join(folder, "kernel/lib/modules", release, `kernel/drivers/${place}/${name}.ko`), name);
    }
  };

  it("is the newest for virtual machines, of those that have their drivers", () => {
    install("6.1.0-9-cloud-amd64");
    install("6.1.0-10-cloud-amd64");
    install("6.12.0-1-cloud-amd64", ["virtio"]);
    expect(findKernel(undefined, folder)?.release).toBe("6.1.0-10-cloud-amd64");
  });

  it("is the operator's own, if its bytes are those that he named", async () => {
    install("7.0.0-own");
    const path = join(folder, "kernel/boot/vmlinuz-7.0.0-own");
    const digest = createHash("sha256").update("7.0.0-own").digest("hex");
    const kernel = findKernel(`${path}#sha256:${digest}`, "/nowhere") ?? expect.fail("none");
    expect(kernel.release).toBe("7.0.0-own");
    expect(String(await readModule(kernel, "virtio_blk", (path) => path))).toBe("virtio_blk");
    expect(() => findKernel(`${path}#sha256:${"0".repeat(64)}`, "/nowhere")).toThrow(UserError);
    expect(() => findKernel("/no/such/vmlinuz-1", "/nowhere")).toThrow(UserError);
  });
});

describe("what a template is known by", () => {
  const { portFd: _port, monitorFd: _monitor, disks: _disks, ...spec } = SPEC;
  const pathOf = (more: Partial<TemplateSpec> = {}, qemuVersion = "7.2.22", cache = "/cache"): string =>
    templatePath({ ...spec, ...more }, qemuVersion, cache);

  it("is another name for each kernel, RAM disk, QEMU, and size of the machine", () => {
    const all = [
      pathOf(),
      pathOf({ kernel: "/machine/another" }),
      pathOf({ ramDisk: "/machine/another" }),
      pathOf({ cpus: 1 }),
      pathOf({ memoryBytes: 1024 ** 3 }),
      pathOf({ accelerator: "kvm" }),
      pathOf({ arch: "arm64" }),
      pathOf({}, "7.2.23"),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  it("is the same name wherever the same parts lie, and found by pruning as theirs", () => {
    expect(basename(pathOf({ kernel: "/elsewhere/kernel" }, "7.2.22", "/elsewhere"))).toBe(
      basename(pathOf()),
    );
    const size = pathOf({ cpus: 1, memoryBytes: 1024 ** 3 });
    expect(basename(size).startsWith(templatesOf(spec, "7.2.22"))).toBe(true);
    expect(basename(size).startsWith(templatesOf(spec, "7.2.23"))).toBe(false);
  });

  it("is another name for another kernel of the same name, packed or not", async () => {
    const image = join(folder, "vmlinuz-own");
    const plain = async (content: Buffer): Promise<string> => {
      writeFileSync(image, content);
      return plainKernel({ image, modules: folder, release: "own" }, folder);
    };
    const one = await plain(Buffer.from("one kernel"));
    const two = await plain(Buffer.from("and another"));
    expect(readFileSync(one, "latin1")).toBe("one kernel");
    expect(readFileSync(two, "latin1")).toBe("and another");
    expect(await plain(packedKernel("one kernel"))).not.toBe(one);
    expect(readFileSync(await plain(packedKernel("packed")), "latin1")).toBe("packed");
    const [first, second] = [one, two].map((kernel) => pathOf({ kernel }));
    expect(first).not.toBe(second);
  });
});

/** As little of boot.rst's header as says where a kernel lies in its image. */
function packedKernel(content: string): Buffer {
  const packed = gzipSync(content);
  const head = Buffer.alloc(1024);
  head.writeUInt8(1, 0x1f1);
  head.write("HdrS", 0x202);
  head.writeUInt16LE(0x208, 0x206);
  head.writeUInt32LE(packed.length + 4, 0x24c);
  return Buffer.concat([head, packed, Buffer.alloc(4)]);
}

describe("the operator's mounts", () => {
  it("come with what lies in them after them, and only from what is there", () => {
    const inside = { from: folder, to: "/srv/a/b" };
    const outside = { from: folder, to: "/srv/a" };
    expect(placeMounts([inside, outside]).map(({ to }) => to)).toEqual(["/srv/a", "/srv/a/b"]);
    expect(() => placeMounts([{ from: join(folder, "no"), to: "/srv" }])).toThrow("does not exist");
    expect(() => placeMounts([{ from: "/dev/null", to: "/srv" }])).toThrow("neither a folder nor a file");
  });
});
