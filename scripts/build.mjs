/**
 * Builds dist/: the `bottle` command in chunks that load on demand; the two small programs that run where no
 * chunk can be loaded from, inside a guest and inside its network namespace; and the demo.
 */
import { chmod, rm } from "node:fs/promises";
import { build } from "esbuild";

const common = {
  bundle: true,
  platform: "node",
  target: "node20.19",
  format: "esm",
  sourcemap: "linked",
  legalComments: "none",
  logLevel: "warning",
  external: ["@lydell/node-pty"],
  // Some libraries are CommonJS inside and ask for node's own modules by require().
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
};

await rm("dist", { recursive: true, force: true });
await build({
  ...common,
  entryPoints: { bottle: "src/cli/main.ts" },
  outdir: "dist",
  chunkNames: "chunks/[name]-[hash]",
  splitting: true,
  minifySyntax: true,
});
await build({
  ...common,
  entryPoints: {
    "guest-init": "src/jail/programs/guest-init.ts",
    "netns-listen": "src/jail/programs/netns-listen.ts",
  },
  outdir: "dist/programs",
  outExtension: { ".js": ".mjs" },
  sourcemap: false,
  banner: {},
});
await build({
  ...common,
  entryPoints: { demo: "demo/main.ts" },
  outdir: "dist",
  outExtension: { ".js": ".mjs" },
});
await chmod("dist/bottle.js", 0o755);
