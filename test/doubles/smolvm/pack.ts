/**
 * `.smolmachine` files. `-o X` writes the launcher X and beside it X.smolmachine, which is what `--from` takes: a tar
 * of assets, a JSON manifest, and a footer of 64 bytes. The real one's tar is compressed with zstd, which Node 20
 * does not know; nobody but smolvm looks inside.
 */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { crc32 } from "node:zlib";

import type { Parsed } from "./arguments.ts";
import { directoryOf, Failure } from "./records.ts";
import type { Release } from "./release.ts";

export interface PackManifest {
  readonly mode: "container" | "vm";
  readonly image: string;
  readonly digest: string;
  readonly platform: string;
  readonly host_platform: string;
  readonly env: readonly string[];
  readonly network: boolean;
  readonly cpus: number;
  readonly mem: number;
  readonly created: string;
  readonly smolvm_version: string;
  readonly assets: readonly string[];
}

const FOOTER_BYTES = 64;
const ARCHITECTURE = process.arch === "arm64" ? "arm64" : "amd64";

/** @param exported root folder of the stopped machine that `--from-vm` names. */
export async function packCreate(
  release: Release,
  args: Parsed,
  exported: (name: string) => string,
): Promise<void> {
  const output = args.one("output");
  const image = args.one("image");
  const machine = args.one("from-vm");
  if (output === undefined || (image === undefined) === (machine === undefined))
    throw new Failure("one of --image, --from-vm or --smolfile is required");
  if (release.fails("pack-hangs")) {
    // A pull is a machine of smolvm's own, which is nobody's child; its environment is for root alone to read.
    spawn("sleep", ["601"], { detached: true, stdio: "ignore" }).unref();
    const file = join(directoryOf("pull"), "boot-config.json");
    const words = ["-e", "setInterval(() => {}, 1000)", "_boot-vm", file];
    spawn(process.execPath, words, { detached: true, stdio: "ignore", env: {} }).unref();
    await new Promise(() => setInterval(() => {}, 1_000));
  }
  if (release.fails("pack")) throw new Failure("failed to pull image: connection reset by peer");
  const staging = mkdtempSync(join(tmpdir(), "smolvm-pack-"));
  try {
    mkdirSync(join(staging, "layers"));
    writeFileSync(join(staging, "agent-rootfs.tar"), "");
    let digest: string;
    let layers: readonly Buffer[] = [];
    if (image !== undefined) ({ digest, layers } = await pull(image));
    else {
      layers = [execFileSync("tar", ["-C", exported(machine ?? ""), "-c", "."], { maxBuffer: 2 ** 31 })];
      digest = `sha256:${createHash("sha256")
        .update(layers[0] ?? "")
        .digest("hex")}`;
    }
    for (const [i, layer] of layers.entries()) writeFileSync(join(staging, "layers", `${i}.tar`), layer);
    const manifest: PackManifest = {
      mode: machine === undefined ? "container" : "vm",
      image: image ?? `vm:${machine}`,
      digest,
      platform: args.one("oci-platform") ?? `linux/${ARCHITECTURE}`,
      host_platform: `${process.platform}/${ARCHITECTURE}`,
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      network: false,
      cpus: Number(args.one("cpus") ?? 4),
      mem: Number(args.one("mem") ?? 8192),
      created: new Date().toISOString(),
      smolvm_version: release.version,
      assets: layers.map((_, i) => `layers/${i}.tar`),
    };
    const assets = execFileSync("tar", ["-C", staging, "-c", "."], { maxBuffer: 2 ** 31 });
    writeFileSync(output, "#!/bin/sh\necho 'a launcher' >&2\nexit 1\n");
    chmodSync(output, 0o755);
    writeFileSync(`${output}.smolmachine`, withFooter(assets, Buffer.from(JSON.stringify(manifest))));
    process.stdout.write(`Packed ${image ?? machine} into ${basename(output)}\n`);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function withFooter(assets: Buffer, manifest: Buffer): Buffer {
  const footer = Buffer.alloc(FOOTER_BYTES);
  footer.write("SMOLPACK", 0, "latin1");
  footer.writeUInt32LE(1, 8);
  const numbers = [0, 0, assets.length, assets.length, manifest.length];
  for (const [i, number] of numbers.entries()) footer.writeBigUInt64LE(BigInt(number), 12 + 8 * i);
  const body = Buffer.concat([assets, manifest]);
  footer.writeUInt32LE(crc32(body) >>> 0, 52);
  return Buffer.concat([body, footer]);
}

export function readPack(path: string): { readonly manifest: PackManifest; readonly assets: Buffer } {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    throw new Failure(`pack file not found: ${path}`);
  }
  const footer = bytes.subarray(-FOOTER_BYTES);
  if (footer.toString("latin1", 0, 8) !== "SMOLPACK") throw new Failure(`${path} is not a .smolmachine file`);
  const at = (i: number): number => Number(footer.readBigUInt64LE(12 + 8 * i));
  const body = bytes.subarray(0, -FOOTER_BYTES);
  if (crc32(body) >>> 0 !== footer.readUInt32LE(52)) throw new Failure(`${path}: checksum mismatch`);
  return {
    assets: bytes.subarray(at(1), at(1) + at(2)),
    manifest: JSON.parse(bytes.toString("utf8", at(3), at(3) + at(4))) as PackManifest,
  };
}

/** A registry on loopback is asked; any other reference stands for this host's own system folders. */
async function pull(image: string): Promise<{ digest: string; layers: readonly Buffer[] }> {
  const [, host, name, tag = "latest"] =
    /^((?:localhost|127\.\d+\.\d+\.\d+):\d+)\/([^:@]+)(?:[:@](.+))?$/.exec(image) ?? [];
  if (host === undefined || name === undefined)
    return { digest: `sha256:${createHash("sha256").update(image).digest("hex")}`, layers: [] };
  const get = async (path: string): Promise<Buffer> => {
    const accept = [
      "application/vnd.oci.image.manifest.v1+json",
      "application/vnd.docker.distribution.manifest.v2+json",
    ].join(", ");
    const response = await fetch(`http://${host}/v2/${name}/${path}`, { headers: { accept } }).catch(
      () => undefined,
    );
    if (response?.ok !== true)
      throw new Failure(`failed to pull ${image}: ${response?.status ?? "no answer"}`);
    return Buffer.from(await response.arrayBuffer());
  };
  const manifest = JSON.parse((await get(`manifests/${tag}`)).toString()) as {
    readonly config: { readonly digest: string };
    readonly layers: readonly { readonly digest: string }[];
  };
  const blobs = await Promise.all(manifest.layers.map(({ digest }) => get(`blobs/${digest}`)));
  return { digest: manifest.config.digest, layers: blobs };
}
