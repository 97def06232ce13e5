import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seccompProgram } from "../../../src/jail/seccomp.ts";
import { type SeccompArch, SYSCALL_NAMES, syscallNumber } from "../../../src/jail/syscalls.ts";

const ARCHES: readonly SeccompArch[] = ["x64", "arm64"];
const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7, i386: 0x40000003, arm: 0x40000028 };

/** A machine for classic BPF, written from the kernel's documentation and not from the assembler. */
function evaluate(program: Buffer, data: Buffer): number {
  let accumulator = 0;
  for (let pc = 0, steps = 0; steps < 4096; steps++) {
    const at = pc * 8;
    if (at + 8 > program.length) throw new Error(`ran off the end at ${pc}`);
    const code = program.readUInt16LE(at);
    const k = program.readUInt32LE(at + 4);
    const target = (taken: boolean): number => pc + 1 + program.readUInt8(taken ? at + 2 : at + 3);
    if (code === 0x20) {
      if (k % 4 !== 0) throw new Error(`unaligned load at ${k}`);
      accumulator = data.readUInt32LE(k);
      pc += 1;
    } else if (code === 0x15) pc = target(accumulator === k);
    else if (code === 0x35) pc = target(accumulator >= k);
    else if (code === 0x45) pc = target((accumulator & k) !== 0);
    else if (code === 0x06) return k;
    else throw new Error(`instruction ${code.toString(16)} at ${pc}`);
  }
  throw new Error("does not end");
}

function callData(arch: number, nr: number, args: readonly (number | bigint)[] = []): Buffer {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(nr >>> 0, 0);
  data.writeUInt32LE(arch, 4);
  args.forEach((value, i) => {
    data.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), 16 + 8 * i);
  });
  return data;
}

const programs = { x64: seccompProgram("x64"), arm64: seccompProgram("arm64") };

const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  38: "ENOSYS",
  93: "EPROTONOSUPPORT",
  94: "ESOCKTNOSUPPORT",
  97: "EAFNOSUPPORT",
};

function decode(action: number): string {
  if (action === 0x7fff0000) return "allow";
  if (action === 0x80000000) return "kill";
  if (action >>> 16 === 5) return ERRNO_NAMES[action & 0xffff] ?? `errno ${action & 0xffff}`;
  return action.toString(16);
}

function decide(arch: SeccompArch, nr: number, ...args: (number | bigint)[]): string {
  return decode(evaluate(programs[arch], callData(AUDIT_ARCH[arch], nr, args)));
}

/** By number, so that a wrong row of the table cannot hide behind its name. */
const BY_NUMBER = {
  x64: { clone: 56, unshare: 272, personality: 135, ioctl: 16, socket: 41, socketpair: 53 },
  arm64: { clone: 220, unshare: 97, personality: 92, ioctl: 29, socket: 198, socketpair: 199 },
};

describe("the seccomp program", () => {
  it("is what the kernel accepts: whole instructions, few enough, every path ending in a return", () => {
    for (const arch of ARCHES) {
      expect(programs[arch].length % 8).toBe(0);
      expect(programs[arch].length / 8).toBeLessThan(4096);
      for (let at = 0; at < programs[arch].length; at += 8) {
        const code = programs[arch].readUInt16LE(at);
        if (code !== 0x15 && code !== 0x35 && code !== 0x45) continue;
        for (const offset of [programs[arch].readUInt8(at + 2), programs[arch].readUInt8(at + 3)]) {
          expect(at + 8 * (1 + offset)).toBeLessThan(programs[arch].length);
        }
      }
      expect(programs[arch].readUInt16LE(programs[arch].length - 8)).toBe(0x06);
    }
  });

  it("kills a call of another architecture, whatever its number", () => {
    for (const arch of ARCHES) {
      for (const [name, other] of Object.entries(AUDIT_ARCH)) {
        if (other === AUDIT_ARCH[arch]) continue;
        for (const nr of [0, 1, 21, 165, 435, 0x40000001]) {
          expect([name, decode(evaluate(programs[arch], callData(other, nr)))]).toEqual([name, "kill"]);
        }
      }
    }
  });

  it("knows no x32 call on x64, and not the number -1", () => {
    for (const nr of [0x40000000, 0x40000000 | 165, 0x40000000 | 39, 0x7fffffff, 0xffffffff]) {
      expect(decide("x64", nr)).toBe("ENOSYS");
    }
    expect(decide("x64", 0x3fffffff)).toBe("allow");
  });

  it("refuses exactly these calls whatever their arguments, and allows every other number", () => {
    const refused: Readonly<Record<SeccompArch, readonly number[]>> = {
      x64: [
        134, 153, 154, 155, 156, 159, 161, 163, 164, 165, 166, 167, 168, 169, 172, 173, 174, 175, 176, 177,
        178, 179, 180, 103, 212, 227, 246, 248, 249, 250, 298, 303, 304, 305, 308, 313, 320, 321, 323, 425,
        426, 427, 428, 429, 430, 431, 432, 433, 435, 442, 443, 467,
      ],
      arm64: [
        18, 39, 40, 41, 42, 51, 58, 60, 89, 104, 105, 106, 112, 116, 142, 170, 171, 217, 218, 219, 224, 225,
        241, 264, 265, 266, 268, 273, 280, 282, 294, 425, 426, 427, 428, 429, 430, 431, 432, 433, 435, 442,
        443, 467,
      ],
    };
    for (const arch of ARCHES) {
      const byArguments = new Set(Object.values(BY_NUMBER[arch]));
      const never: number[] = [];
      for (let nr = 0; nr < 1024; nr++) {
        if (byArguments.has(nr)) continue;
        const plain = decide(arch, nr);
        const full = decide(arch, nr, ...Array<bigint>(6).fill(0xffff_ffff_ffff_ffffn));
        expect(full).toBe(plain);
        if (plain !== "allow") never.push(nr);
      }
      expect(never).toEqual([...refused[arch]].sort((a, b) => a - b));
    }
  });

  it("answers ENOSYS where software falls back to an older call", () => {
    for (const arch of ARCHES) {
      for (const nr of [435, 425, 426, 427]) expect(decide(arch, nr)).toBe("ENOSYS");
    }
  });

  it("lets clone make threads and processes but no namespace", () => {
    const thread = 0x3d0f00; // what pthread_create asks for
    const fork = 0x1200011; // what fork asks for
    for (const arch of ARCHES) {
      const { clone } = BY_NUMBER[arch];
      expect(decide(arch, clone, thread)).toBe("allow");
      expect(decide(arch, clone, fork)).toBe("allow");
      for (const bit of [17, 25, 26, 27, 28, 29, 30]) {
        expect(decide(arch, clone, 2 ** bit)).toBe("EPERM");
        expect(decide(arch, clone, fork + 2 ** bit)).toBe("EPERM");
      }
      // The upper half is dropped by the kernel: it neither helps nor harms.
      expect(decide(arch, clone, 0xffff_ffff_0000_0011n)).toBe("allow");
      expect(decide(arch, clone, 0x1_1000_0011n)).toBe("EPERM");
    }
  });

  it("lets unshare split off what is no namespace, and refuses flags nobody knows yet", () => {
    for (const arch of ARCHES) {
      const { unshare } = BY_NUMBER[arch];
      for (const flags of [0, 0x200, 0x400, 0x40000, 0x600])
        expect(decide(arch, unshare, flags)).toBe("allow");
      for (const flags of [
        0x80, 0x20000, 0x2000000, 0x10000000, 0x10000200, 0x40000000, 0x100000, 0x80000000,
      ]) {
        expect(decide(arch, unshare, flags)).toBe("EPERM");
      }
    }
  });

  it("refuses to type into a terminal or to put a driver behind it, also with a bit set that the kernel drops", () => {
    for (const arch of ARCHES) {
      const { ioctl } = BY_NUMBER[arch];
      for (const request of [0x5412, 0x541c, 0x5423, 0x1_0000_5412n, 0xffff_ffff_0000_541cn]) {
        expect(decide(arch, ioctl, 0, request)).toBe("EPERM");
      }
      for (const request of [0x5401, 0x5413, 0x5411, 0x541b, 0x541d, 0x5424]) {
        expect(decide(arch, ioctl, 0x5412, request)).toBe("allow");
      }
    }
  });

  it("allows the personalities of ordinary programs and none that switches protections off", () => {
    for (const arch of ARCHES) {
      const { personality } = BY_NUMBER[arch];
      for (const persona of [0, 8, 0x20000, 0x20008, 0xffffffff]) {
        expect(decide(arch, personality, persona)).toBe("allow");
      }
      for (const persona of [0x40000, 0x400000, 0x40008, 1, 0xfffffffe]) {
        expect(decide(arch, personality, persona)).toBe("EPERM");
      }
    }
  });

  it("allows sockets of unix, inet, inet6 and route netlink alone", () => {
    for (const arch of ARCHES) {
      for (const call of [BY_NUMBER[arch].socket, BY_NUMBER[arch].socketpair]) {
        for (let family = 0; family < 64; family++) {
          const expected = [1, 2, 10, 16].includes(family) ? "allow" : "EAFNOSUPPORT";
          expect([family, decide(arch, call, family, 1, 0)]).toEqual([family, expected]);
        }
        for (const protocol of [1, 4, 9, 12, 15, 16, 21]) {
          expect(decide(arch, call, 16, 3, protocol)).toBe("EPROTONOSUPPORT");
          expect(decide(arch, call, 1, 3, protocol)).toBe("allow");
        }
        expect(decide(arch, call, 0xffff_ffff_0000_0028n, 1, 0)).toBe("EAFNOSUPPORT");
        expect(decide(arch, call, 0x1_0000_0010n, 3, 0x1_0000_0009n)).toBe("EPROTONOSUPPORT");
      }
    }
  });

  it("allows TCP, UDP and ICMP of the internet's protocols, and no kind of socket that only others have", () => {
    const [flags, sctp] = [0x80800, 132];
    for (const arch of ARCHES) {
      const { socket } = BY_NUMBER[arch];
      for (const family of [2, 10]) {
        for (const protocol of [0, 1, 6, 17, 58])
          for (const type of [1, 2, 3, 1 | flags, 2 | flags])
            expect(decide(arch, socket, family, type, protocol)).toBe("allow");
        // GRE, DCCP, L2TP, SCTP, UDP-Lite, raw, MPTCP.
        for (const protocol of [47, 33, 115, sctp, 136, 255, 262])
          expect(decide(arch, socket, family, 1, protocol)).toBe("EPROTONOSUPPORT");
        for (const type of [4, 5, 6, 10, 6 | flags])
          expect(decide(arch, socket, family, type, 0)).toBe("ESOCKTNOSUPPORT");
      }
      // Of Unix sockets those with packets are in use.
      expect(decide(arch, socket, 1, 5, 0)).toBe("allow");
    }
  });

  it("looks at nothing above bit 31 of any argument", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...ARCHES),
        fc.oneof(fc.integer({ min: 0, max: 512 }), fc.constantFrom(...Object.values(BY_NUMBER.x64))),
        fc.array(fc.nat(0xffffffff), { minLength: 6, maxLength: 6 }),
        fc.array(fc.nat(0xffffffff), { minLength: 6, maxLength: 6 }),
        (arch, nr, low, high) => {
          const wide = low.map((value, i) => (BigInt(high[i] ?? 0) << 32n) | BigInt(value));
          expect(decide(arch, nr, ...wide)).toBe(decide(arch, nr, ...low));
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe("the table of system calls", () => {
  const HEADERS: Readonly<Record<SeccompArch, readonly [path: string, pattern: RegExp]>> = {
    x64: ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", /#define __NR_(\w+)\s+(\d+)/g],
    arm64: ["/usr/include/asm-generic/unistd.h", /#define __NR(?:3264)?_(\w+)\s+(\d+)/g],
  };

  for (const arch of ARCHES) {
    it(`agrees with this machine's kernel headers for ${arch}`, (ctx) => {
      const [path, pattern] = HEADERS[arch];
      if (!existsSync(path)) ctx.skip(`${path} is not here (Debian: apt-get install linux-libc-dev)`);
      const header = new Map(
        [...readFileSync(path, "utf8").matchAll(pattern)].map((match) => [match[1], Number(match[2])]),
      );
      const newest = Math.max(...header.values());
      for (const name of SYSCALL_NAMES) {
        const ours = syscallNumber(arch, name);
        if (ours !== null && ours > newest) continue; // younger than these headers
        expect([name, ours]).toEqual([name, header.get(name) ?? null]);
      }
    });
  }
});
