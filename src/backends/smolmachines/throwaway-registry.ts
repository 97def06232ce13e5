/**
 * An image of any kind, served for a moment on this host's loopback as a registry would: what smolvm packs comes from
 * registries alone. No engine is needed, and nothing is left: no container, tag, network or tarball. What is served was
 * checked when it was read; its name cannot be guessed.
 */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { SourceImage } from "../../image/source-image.ts";
import { configurationOf, unpackLayers } from "../../image/unpacked-layers.ts";

const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";
/** One that sends its request by the byte is nobody we wait for. */
const REQUEST_TIMEOUT_MS = 30_000;

interface Served {
  readonly type: string;
  readonly digest: string;
  readonly size: number;
  readonly content: Buffer | { readonly file: string };
}

/**
 * Runs `use` with the name of the image in that registry.
 * @param workDir for its layers, plain.
 */
export async function withRegistry<T>(
  image: SourceImage,
  workDir: string,
  use: (reference: string) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const unpacked = await unpackLayers(image, workDir, signal);
  const layers = unpacked.map(
    ({ file, ...named }): Served => ({ type: LAYER_TYPE, ...named, content: { file } }),
  );
  const config = servedJson(CONFIG_TYPE, configurationOf(image, unpacked));
  const manifest = servedJson(MANIFEST_TYPE, {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: descriptorOf(config),
    layers: layers.map(descriptorOf),
  });
  const repository = `bottle-${randomBytes(16).toString("hex")}`;
  const places = new Map<string, Served>([
    ["/manifests/latest", manifest],
    [`/manifests/${manifest.digest}`, manifest],
    ...[config, ...layers].map((each) => [`/blobs/${each.digest}`, each] as const),
  ]);
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    request.on("error", () => response.destroy());
    response.on("error", () => {});
    request.resume();
    const prefix = `/v2/${repository}`;
    const { method = "", url = "" } = request;
    if (method !== "GET" && method !== "HEAD") return void response.writeHead(405).end();
    if (url === "/v2/" || url === "/v2") return void response.writeHead(200).end();
    const found = url.startsWith(prefix) ? places.get(url.slice(prefix.length)) : undefined;
    if (found === undefined) return void response.writeHead(404).end();
    send(found, method === "HEAD", response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  try {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("the registry has no port");
    // By this name its clients take plain HTTP.
    return await use(`localhost:${address.port}/${repository}:latest`);
  } finally {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

function send(served: Served, headOnly: boolean, response: ServerResponse): void {
  response.writeHead(200, {
    "content-type": served.type,
    "content-length": served.size,
    "docker-content-digest": served.digest,
  });
  if (headOnly) response.end();
  else if (Buffer.isBuffer(served.content)) response.end(served.content);
  else pipeline(createReadStream(served.content.file), response).catch(() => response.destroy());
}

function servedJson(type: string, value: unknown): Served {
  const content = Buffer.from(JSON.stringify(value));
  const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
  return { type, digest, size: content.length, content };
}

function descriptorOf({ type, digest, size }: Served): { mediaType: string; digest: string; size: number } {
  return { mediaType: type, digest, size };
}
