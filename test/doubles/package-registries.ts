/**
 * The registries that package managers ask, each as strict in its protocol as its client is: what they serve is made
 * here, or packed from this repository's own node_modules.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { zipOf } from "../support/zip.ts";

export interface Served {
  readonly type: string;
  readonly body: string | Buffer;
  /** Default 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}
/** What is at a path (decoded, without query); undefined: 404. */
export type Registry = (path: string, authorization: string | undefined) => Served | undefined;

/** One server for all of them, told apart by their names. */
export function servingByHost(registries: Readonly<Record<string, Registry>>): RequestListener {
  return (request, response) => {
    response.on("error", () => {});
    request.resume();
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://registry").pathname);
    const found = registries[request.headers.host ?? ""]?.(path, request.headers.authorization);
    const reading = request.method === "GET" || request.method === "HEAD";
    if (found === undefined || !reading) {
      response.writeHead(reading ? 404 : 405).end();
      return;
    }
    const { status = 200, type, body, headers } = found;
    // As the real ones do, and clients ask for: texts come packed.
    const packs = typeof body === "string" && /gzip/.test(String(request.headers["accept-encoding"]));
    response.writeHead(status, {
      ...{ "content-type": type, ...headers },
      ...(packs && { "content-encoding": "gzip" }),
    });
    response.end(packs ? gzipSync(body) : body);
  };
}

const hash = (algorithm: string, bytes: Buffer | string): string =>
  createHash(algorithm).update(bytes).digest("hex");
const json = (value: unknown, type = "application/json"): Served => ({ type, body: JSON.stringify(value) });
const bytes = (body: Buffer): Served => ({ type: "application/octet-stream", body });

/** Every package below `folder`, in all its versions, with npm's full and short documents alike. */
export function npmRegistry(folder: string, origin: string): Registry {
  const versions = new Map<string, Map<string, string>>();
  const look = (modules: string): void => {
    for (const entry of existsSync(modules) ? readdirSync(modules) : []) {
      if (entry.startsWith(".")) continue;
      const names = entry.startsWith("@")
        ? readdirSync(join(modules, entry)).map((name) => `${entry}/${name}`)
        : [entry];
      for (const each of names) {
        const at = join(modules, each);
        if (!existsSync(join(at, "package.json"))) continue;
        const { name, version } = manifestOf(at);
        const known = versions.get(name) ?? new Map<string, string>();
        versions.set(name, known.set(version, at));
        look(join(at, "node_modules"));
      }
    }
  };
  look(folder);
  const tarballs = new Map<string, Buffer>();
  const tarball = (at: string): Buffer => {
    const packed =
      tarballs.get(at) ??
      execFileSync(
        "tar",
        ["-c", "-Igzip -1", "--exclude=./node_modules", "--transform=s,^\\.,package,", "-C", at, "."],
        {
          maxBuffer: 2 ** 28,
        },
      );
    tarballs.set(at, packed);
    return packed;
  };
  return (path) => {
    const [, name = "", file] = /^\/((?:@[^/]+\/)?[^/]+)(?:\/-\/(.+)\.tgz)?$/.exec(path) ?? [];
    const known = versions.get(name);
    if (known === undefined) return undefined;
    if (file !== undefined) {
      const at = known.get(file.slice((name.split("/").at(-1) ?? "").length + 1));
      return at === undefined ? undefined : bytes(tarball(at));
    }
    const all = [...known].map(([version, at]) => {
      const packed = tarball(at);
      const dist = {
        tarball: `${origin}/${name}/-/${name.split("/").at(-1)}-${version}.tgz`,
        shasum: hash("sha1", packed),
        integrity: `sha512-${createHash("sha512").update(packed).digest("base64")}`,
      };
      return [version, { ...manifestOf(at), dist }] as const;
    });
    return json({
      ...{ _id: name, name, "dist-tags": { latest: all[0]?.[0] } },
      versions: Object.fromEntries(all),
    });
  };
}

function manifestOf(at: string): { readonly name: string; readonly version: string } {
  return JSON.parse(readFileSync(join(at, "package.json"), "utf8")) as { name: string; version: string };
}

/** A wheel with one module; PEP 503, 658 and 691. */
export function pythonIndex(
  packages: readonly { readonly name: string; readonly needs?: string; readonly module: string }[],
  filesOrigin: string,
): { readonly index: Registry; readonly files: Registry } {
  const files = new Map<string, Buffer>();
  const pages = new Map<string, Served>();
  for (const { name, needs, module } of packages) {
    const info = `${name}-1.0.0.dist-info`;
    const metadata = `Metadata-Version: 2.1\nName: ${name}\nVersion: 1.0.0\n${needs === undefined ? "" : `Requires-Dist: ${needs}\n`}`;
    const members: Record<string, string> = {
      [`${name}.py`]: module,
      [`${info}/METADATA`]: metadata,
      [`${info}/WHEEL`]: "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    };
    const record = [...Object.keys(members), `${info}/RECORD`].map((each) => `${each},,\n`).join("");
    const wheel = zipOf({ ...members, [`${info}/RECORD`]: record });
    const path = `/packages/ab/cd/${name}-1.0.0-py3-none-any.whl`;
    files.set(path, wheel);
    files.set(`${path}.metadata`, Buffer.from(metadata));
    const file = {
      filename: path.split("/").at(-1),
      url: `${filesOrigin}${path}`,
      hashes: { sha256: hash("sha256", wheel) },
      "core-metadata": { sha256: hash("sha256", metadata) },
      "requires-python": ">=3.8",
    };
    pages.set(
      `/simple/${name}/`,
      json({ meta: { "api-version": "1.1" }, name, versions: ["1.0.0"], files: [file] }, PEP_691),
    );
  }
  const fileAt: Registry = (path) => {
    const file = files.get(path);
    return file && bytes(file);
  };
  return { index: (path) => pages.get(path), files: fileAt };
}

const PEP_691 = "application/vnd.pypi.simple.v1+json";

/** crates.io's sparse index, and the crates. */
export function crateRegistry(
  folder: string,
  crates: readonly { readonly name: string; readonly needs?: string; readonly source: string }[],
  filesOrigin: string,
): { readonly index: Registry; readonly files: Registry } {
  const index = new Map<string, Served>([["/config.json", json({ dl: `${filesOrigin}/crates` })]]);
  const files = new Map<string, Buffer>();
  for (const { name, needs, source } of crates) {
    const at = `${name}-1.0.0`;
    const dependency = needs === undefined ? "" : `[dependencies]\n${needs} = "1"\n`;
    write(
      join(folder, at, "Cargo.toml"),
      `[package]\nname = "${name}"\nversion = "1.0.0"\nedition = "2021"\n${dependency}`,
    );
    write(join(folder, at, "src", "lib.rs"), source);
    const crate = execFileSync("tar", ["-cz", "-C", folder, at]);
    files.set(`/crates/${name}/1.0.0/download`, crate);
    const deps =
      needs === undefined
        ? []
        : [
            {
              ...{ name: needs, req: "^1", features: [], optional: false, default_features: true },
              ...{ target: null, kind: "normal" },
            },
          ];
    const line = { name, vers: "1.0.0", deps, cksum: hash("sha256", crate), features: {}, yanked: false };
    index.set(`/${name.slice(0, 2)}/${name.slice(2, 4)}/${name}`, {
      type: "text/plain",
      body: `${JSON.stringify(line)}\n`,
    });
  }
  const fileAt: Registry = (path) => {
    const file = files.get(path);
    return file && bytes(file);
  };
  return { index: (path) => index.get(path), files: fileAt };
}

/** Go's module proxy: https://go.dev/ref/mod#goproxy-protocol */
export function goProxy(
  modules: readonly { readonly path: string; readonly needs?: string; readonly source: string }[],
): Registry {
  const served = new Map<string, Served>();
  for (const { path, needs, source } of modules) {
    const mod = `module ${path}\n\ngo 1.19\n${needs === undefined ? "" : `\nrequire ${needs} v1.0.0\n`}`;
    const base = `/${path}/@v`;
    const prefix = `${path}@v1.0.0`;
    served.set(`${base}/list`, { type: "text/plain", body: "v1.0.0\n" });
    served.set(`${base}/v1.0.0.info`, json({ Version: "v1.0.0", Time: "2026-01-02T03:04:05Z" }));
    served.set(`${base}/v1.0.0.mod`, { type: "text/plain", body: mod });
    const zip = zipOf({ [`${prefix}/go.mod`]: mod, [`${prefix}/module.go`]: source });
    served.set(`${base}/v1.0.0.zip`, bytes(zip));
  }
  return (path) => served.get(path);
}

/** One archive of Debian's form with one package in it, that holds `program`. */
export function debianArchive(folder: string, base: string, name: string, program: string): Registry {
  const tree = join(folder, name);
  const control = [
    `Package: ${name}`,
    "Version: 1.0-1",
    "Architecture: all",
    "Maintainer: Nobody <nobody@example.com>",
    "Section: misc",
    "Priority: optional",
    "Description: says something\n",
  ].join("\n");
  write(join(tree, "DEBIAN", "control"), control);
  write(join(tree, "usr", "bin", name), program, 0o755);
  const file = join(folder, `${name}.deb`);
  execFileSync("dpkg-deb", ["--build", "--root-owner-group", tree, file], { stdio: "ignore" });
  const deb = readFileSync(file);
  const filename = `pool/main/${name[0]}/${name}/${name}_1.0-1_all.deb`;
  const packages = `${control}Filename: ${filename}\nSize: ${deb.length}\nMD5sum: ${hash("md5", deb)}\nSHA256: ${hash("sha256", deb)}\n\n`;
  const lists: Readonly<Record<string, Buffer>> = {
    "main/binary-all/Packages": Buffer.from(packages),
    "main/binary-amd64/Packages": Buffer.from(packages),
    "main/binary-arm64/Packages": Buffer.from(packages),
    "main/binary-amd64/Packages.gz": gzipSync(packages),
    "main/binary-arm64/Packages.gz": gzipSync(packages),
  };
  const sums = Object.entries(lists).map(
    ([path, list]) => ` ${hash("sha256", list)} ${list.length} ${path}\n`,
  );
  const release = [
    "Origin: Debian\nLabel: Debian\nSuite: stable\nCodename: stable\n",
    `Date: ${new Date().toUTCString()}\nArchitectures: all amd64 arm64\nComponents: main\nSHA256:\n`,
    ...sums,
  ].join("");
  const served = new Map<string, Buffer>([
    [`${base}/dists/stable/Release`, Buffer.from(release)],
    [`${base}/${filename}`, deb],
    ...Object.entries(lists).map(([path, list]): [string, Buffer] => [`${base}/dists/stable/${path}`, list]),
  ]);
  return (path) => {
    const found = served.get(path);
    return found && bytes(found);
  };
}

/** One image, for whoever has the token that its own authority gives out to everybody. */
export function imageRegistry(
  name: string,
  token: string,
  realm: string,
): { readonly registry: Registry; readonly authority: Registry } {
  const layer = gzipSync("a layer");
  const config = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [] },
  });
  const descriptor = (mediaType: string, content: Buffer | string): object => ({
    ...{ mediaType, digest: `sha256:${hash("sha256", content)}`, size: content.length },
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: IMAGE,
    config: descriptor("application/vnd.docker.container.image.v1+json", config),
    layers: [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", layer)],
  });
  const headers = { "docker-distribution-api-version": "registry/2.0" };
  return {
    registry(path, authorization) {
      if (authorization !== `Bearer ${token}`) {
        const challenge = `Bearer realm="${realm}",service="registry",scope="repository:${name}:pull"`;
        const errors = [{ code: "UNAUTHORIZED", message: "authentication required" }];
        return { ...json({ errors }), status: 401, headers: { ...headers, "www-authenticate": challenge } };
      }
      if (path === "/v2/") return { ...json({}), headers };
      if (path.startsWith(`/v2/${name}/manifests/`))
        return {
          ...{ type: IMAGE, body: Buffer.from(manifest) },
          headers: { ...headers, "docker-content-digest": `sha256:${hash("sha256", manifest)}` },
        };
      return path.startsWith(`/v2/${name}/blobs/`) ? { ...bytes(Buffer.from(config)), headers } : undefined;
    },
    authority: (path) =>
      path === new URL(realm).pathname
        ? json({ token, access_token: token, expires_in: 300, issued_at: new Date().toISOString() })
        : undefined,
  };
}

const IMAGE = "application/vnd.docker.distribution.manifest.v2+json";

function write(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode });
}
