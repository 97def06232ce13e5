/**
 * Builds dist/: the `bottle` command in chunks that load on demand; the small programs that run where no chunk
 * can be loaded from: inside a guest, inside its network namespace, and as the first one in the bundle's container; and the demo.
 *
 * It is built beside and moved into place whole, and not at all when nothing has changed: a bottle that runs
 * from dist/ must not lose the ground under its feet because somebody runs a test.
 */
import { createHash } from "node:crypto";
import { chmod, cp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

const STAMP = ".built-from";
const stamp = await fingerprint(["src", "demo", "scripts", "package-lock.json", "package.json"]);
if ((await readFile(join("dist", STAMP), "utf8").catch(() => "")) === stamp) process.exit(0);

const outdir = `dist.${process.pid}`;
const common = {
  bundle: true,
  platform: "node",
  target: "node20.19",
  format: "esm",
  sourcemap: "linked",
  legalComments: "none",
  logLevel: "warning",
  // Another of CommonJS' words, which ssh2's WebAssembly asks for.
  define: { __dirname: "import.meta.dirname" },
  // cpu-features and ssh2's own binding are parts that it does without.
  external: ["@lydell/node-pty", "cpu-features"],
  // Some libraries are CommonJS inside and ask for node's own modules by require().
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
};

try {
  await build({
    ...common,
    entryPoints: { bottle: "src/cli/main.ts" },
    outdir,
    chunkNames: "chunks/[name]-[hash]",
    splitting: true,
    minifySyntax: true,
  });
  await build({
    ...common,
    entryPoints: {
      "guest-init": "src/jail/programs/guest-init.ts",
      "guest-channel": "src/jail/programs/guest-channel.ts",
      "guest-look": "src/jail/programs/guest-look.ts",
      "guest-relay": "src/jail/programs/guest-relay.ts",
      "guest-seat": "src/jail/programs/guest-seat.ts",
      "netns-listen": "src/jail/programs/netns-listen.ts",
      "bundle-init": "src/bundle/programs/bundle-init.ts",
      "attack-kit": "src/attack/programs/kit.ts",
      "attack-run": "src/attack/programs/run-probes.ts",
      "attack-one": "src/attack/programs/run-in-one.ts",
    },
    outdir: join(outdir, "programs"),
    outExtension: { ".js": ".mjs" },
    sourcemap: false,
    banner: {},
  });
  await build({
    ...common,
    entryPoints: { demo: "demo/main.ts" },
    outdir,
    outExtension: { ".js": ".mjs" },
  });
  // What a micro-VM runs before it has an image: perl, which brings nothing that would have to be compiled.
  await cp("src/backends/qemu/guest", join(outdir, "programs/qemu"), { recursive: true });
  await chmod(join(outdir, "bottle.js"), 0o755);
  await writeFile(join(outdir, STAMP), stamp);
  const old = `${outdir}.old`;
  await rename("dist", old).catch(() => {});
  await rename(outdir, "dist");
  await rm(old, { recursive: true, force: true });
} finally {
  await rm(outdir, { recursive: true, force: true });
}

async function fingerprint(paths) {
  const hash = createHash("sha256").update(process.version);
  for (const path of paths) {
    const names = path.includes(".") ? [""] : (await readdir(path, { recursive: true })).sort();
    for (const name of names.filter((each) => each === "" || /\.(ts|mjs|pl)$/.test(each))) {
      hash.update(`${path}/${name}\0`).update(await readFile(join(path, name)));
    }
  }
  return hash.digest("hex");
}
