/** A registry that answers as no honest one would, and networks that break. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { prepareRootImage, type RootImage } from "../../../src/image/root-image.ts";
import { pruneImages } from "../../../src/image/stored-images.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { rawArchive } from "../../support/archive-bytes.ts";
import { readerOf, SMALL_DISK } from "../../support/raw-disk.ts";

const TAR = rawArchive(
  { name: "hello", content: "from the registry" },
  { name: "big", content: Buffer.alloc(400_000, "b") },
);
const PASSWORD = ["right", "horse"].join("-");
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

interface Exchange {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

/** Answers, or returns false for the honest answer. */
type Trick = (request: IncomingMessage, response: ServerResponse, path: string) => boolean;

let area: string;
let servers: Server[];
let seen: Exchange[];
let trick: Trick;
let host: string;
/** Not compressible: the download has a middle. */
const layer = Buffer.concat([gzipSync(TAR, { level: 0 })]);
const blobs = new Map<string, Buffer>();
const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const put = (bytes: Buffer): { digest: string; size: number } => {
  blobs.set(digestOf(bytes), bytes);
  return { digest: digestOf(bytes), size: bytes.length };
};
const LAYER = put(layer);
const CONFIG = put(
  Buffer.from(
    JSON.stringify({
      architecture: ARCHITECTURE,
      os: "linux",
      rootfs: { type: "layers", diff_ids: [digestOf(TAR)] },
    }),
  ),
);
const MANIFEST = Buffer.from(JSON.stringify({ schemaVersion: 2, config: CONFIG, layers: [LAYER] }));

beforeEach(async () => {
  area = mkdtempSync(join(tmpdir(), "bottle-test-"));
  process.env["HOME"] = area;
  servers = [];
  seen = [];
  trick = () => false;
  host = await serve((request, response) => {
    const path = request.url ?? "";
    seen.push({ path, headers: request.headers });
    if (trick(request, response, path)) return;
    honest(request, response, path);
  });
});
afterEach(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await removeTree(area);
});

async function serve(
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `localhost:${(server.address() as AddressInfo).port}`;
}

function honest(request: IncomingMessage, response: ServerResponse, path: string): void {
  const bytes = path.includes("/manifests/") ? MANIFEST : blobs.get(path.split("/").at(-1) ?? "");
  if (bytes === undefined) {
    response.writeHead(404).end("{}");
    return;
  }
  const from = Number(/^bytes=([0-9]+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const range = { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
  response.writeHead(from > 0 ? 206 : 200, from > 0 ? range : {}).end(bytes.subarray(from));
}

function logIn(): void {
  const auth = Buffer.from(`me:${PASSWORD}`).toString("base64");
  mkdirSync(join(area, ".docker"), { recursive: true });
  writeFileSync(join(area, ".docker/config.json"), JSON.stringify({ auths: { [host]: { auth } } }));
}

function prepare(
  more: { digest?: string; signal?: AbortSignal; said?: (text: string) => void } = {},
): Promise<RootImage> {
  const source = {
    kind: "registry",
    host,
    repository: "dev",
    ...(more.digest ? { digest: more.digest } : { tag: "1" }),
  } as const;
  return prepareRootImage(
    { source, tools: [], cache: join(area, "cache"), diskBytes: SMALL_DISK },
    more.said ?? (() => {}),
    more.signal,
  );
}

async function expectIt(image: RootImage): Promise<void> {
  const disk = readerOf(image.disk);
  await disk.check();
  expect((await disk.bytes("/hello")).toString()).toBe("from the registry");
}

/** Once the other side has had time to read: an end takes along what was not read yet. */
function cutSoon(response: ServerResponse): void {
  setTimeout(() => response.socket?.end(), 200);
}

const isLayer = (path: string): boolean => path.endsWith(LAYER.digest);

describe("a registry's redirect", () => {
  it("takes the download elsewhere, and the operator's login not", async () => {
    logIn();
    const elsewhere: Exchange[] = [];
    const store = await serve((request, response) => {
      elsewhere.push({ path: request.url ?? "", headers: request.headers });
      response.end(layer);
    });
    trick = (request, response, path) => {
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { "www-authenticate": 'Basic realm="it"' }).end();
        return true;
      }
      if (!isLayer(path)) return false;
      response.writeHead(307, { location: `http://${store}/store?signature=x` }).end();
      return true;
    };
    await expectIt(await prepare());
    expect(elsewhere.map(({ path }) => path)).toEqual(["/store?signature=x"]);
    expect(elsewhere[0]?.headers).not.toHaveProperty("authorization");
    expect(seen.some(({ headers }) => headers.authorization?.startsWith("Basic ") === true)).toBe(true);
  });

  it("to where a login is asked for ends there: the operator's login is for nobody to collect", async () => {
    logIn();
    const heard: Exchange[] = [];
    const collector = await serve((request, response) => {
      heard.push({ path: request.url ?? "", headers: request.headers });
      const challenge = request.url === "/store" ? `Bearer realm="http://${collector}/token"` : undefined;
      if (challenge !== undefined) response.writeHead(401, { "www-authenticate": challenge }).end();
      else response.end(JSON.stringify({ token: "t" }));
    });
    trick = (_request, response, path) => {
      if (!isLayer(path)) return false;
      response.writeHead(307, { location: `http://${collector}/store` }).end();
      return true;
    };
    await expect(prepare()).rejects.toThrow(/asks for a login, and localhost:[0-9]+ only redirects/);
    expect(heard.map(({ path }) => path)).toEqual(["/store"]);
    expect(JSON.stringify(heard)).not.toContain("Basic");
  });

  it.each([
    ["to where nothing is encrypted", "http://store.example/x", /is not https/],
    ["to another protocol", "file:///etc/passwd", /is not https/],
    ["to nowhere", "http://[", /redirects to nowhere/],
    ["to itself", "", /redirects more than 5 times/],
  ])("%s is refused", async (_, location, text) => {
    trick = (_request, response, path) => {
      if (!isLayer(path)) return false;
      response.writeHead(302, { location: location === "" ? path : location }).end();
      return true;
    };
    await expect(prepare()).rejects.toThrow(text);
  });
});

describe("a registry's login", () => {
  it.each([
    ["of a kind that is not known", "Negotiate", /kind that is not known/],
    ["in the clear elsewhere", 'Bearer realm="http://auth.example/token"', /is not https/],
    ["that is no address", 'Bearer realm="token"', /names no address for its login/],
  ])("%s is refused, and hears nothing", async (_, challenge, text) => {
    logIn();
    trick = (_request, response) => {
      response.writeHead(401, { "www-authenticate": challenge }).end();
      return true;
    };
    await expect(prepare()).rejects.toThrow(text);
    expect(JSON.stringify(seen)).not.toContain("Basic");
  });

  it.each([
    ["no JSON", "{"],
    ["no token", "{}"],
    ["a token that is more than one header", JSON.stringify({ token: "x\r\nx-evil: 1" })],
    ["more than a token", JSON.stringify({ token: "x", pad: "y".repeat(2 * 1024 * 1024) })],
  ])("that gives %s is refused", async (_, body) => {
    const login = await serve((_request, response) => response.end(body));
    trick = (_request, response) => {
      response.writeHead(401, { "www-authenticate": `Bearer realm="http://${login}/token"` }).end();
      return true;
    };
    await expect(prepare()).rejects.toThrow(/gave no token|is longer than/);
  });

  it("that asks for more than pulling is asked for pulling", async () => {
    const asked: string[] = [];
    const login = await serve((request, response) => {
      asked.push(request.url ?? "");
      response.end(JSON.stringify({ access_token: "t" }));
    });
    trick = (request, response) => {
      if (request.headers.authorization === "Bearer t") return false;
      const challenge = `Bearer realm="http://${login}/token",service="s",scope="repository:dev:pull,push registry:catalog:*"`;
      response.writeHead(401, { "www-authenticate": challenge }).end();
      return true;
    };
    await expectIt(await prepare());
    expect(asked).toEqual(["/token?service=s&scope=repository%3Adev%3Apull"]);
  });

  it("of one who logged in on a web page exchanges what he was given there", async () => {
    let form = "";
    const login = await serve((request, response) => {
      request.on("data", (chunk: Buffer) => {
        form += chunk.toString();
      });
      request.on("end", () => response.end(JSON.stringify({ access_token: "t" })));
    });
    mkdirSync(join(area, ".docker"));
    writeFileSync(
      join(area, ".docker/config.json"),
      JSON.stringify({ auths: { [host]: { identitytoken: "mine" } } }),
    );
    trick = (request, response) => {
      if (request.headers.authorization === "Bearer t") return false;
      response
        .writeHead(401, { "www-authenticate": `Bearer realm="http://${login}/token",service="s"` })
        .end();
      return true;
    };
    await expectIt(await prepare());
    expect(new URLSearchParams(form).get("refresh_token")).toBe("mine");
    expect(new URLSearchParams(form).get("grant_type")).toBe("refresh_token");
  });
});

describe("a registry's manifest", () => {
  it("that is not the one asked for by digest is refused", async () => {
    await expect(prepare({ digest: `sha256:${"3".repeat(64)}` })).rejects.toThrow(
      /does not hash to its name/,
    );
    await expectIt(await prepare({ digest: digestOf(MANIFEST) }));
  });

  it("without an end is refused at its limit", async () => {
    trick = (_request, response, path) => {
      if (!path.includes("/manifests/")) return false;
      const more = (): void => {
        while (response.write(Buffer.alloc(64 * 1024, "{")));
      };
      response.on("drain", more);
      response.writeHead(200);
      more();
      return true;
    };
    await expect(prepare()).rejects.toThrow(/longer than 4194304 bytes/);
  });
});

describe("what has come of an image", () => {
  it("is there for who brought it, though the cache is pruned before the rest comes", async () => {
    const second = gzipSync(rawArchive({ name: "second", content: "later" }));
    const config = put(
      Buffer.from(
        JSON.stringify({
          architecture: ARCHITECTURE,
          os: "linux",
          rootfs: { type: "layers", diff_ids: [digestOf(TAR), digestOf(gunzipSync(second))] },
        }),
      ),
    );
    const layers = [LAYER, put(second)];
    const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers }));
    let pruned: readonly { readonly what: string }[] = [];
    const first = join(area, "cache/images/blobs/sha256", LAYER.digest.slice(7));
    const prune = async (): Promise<void> => {
      while (!existsSync(first)) await sleep(5);
      const past = new Date(Date.now() - 3_600_000);
      utimesSync(first, past, past);
      pruned = await pruneImages({ cache: join(area, "cache"), wanted: new Set(), dryRun: false });
    };
    trick = (request, response, path) => {
      if (path.includes("/manifests/")) response.end(manifest);
      else if (!path.endsWith(digestOf(second))) return false;
      else void prune().finally(() => honest(request, response, path));
      return true;
    };
    await expectIt(await prepare());
    expect(pruned.map(({ what }) => what)).toEqual([`blobs/sha256/${LAYER.digest.slice(7)}`]);
  });
});

describe("a network that breaks", () => {
  it("is tried again, and the download goes on where it stopped", async () => {
    let cuts = 0;
    trick = (request, response, path) => {
      if (!isLayer(path) || cuts === 3) return false;
      cuts += 1;
      const from = Number(/=([0-9]+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      response.writeHead(from > 0 ? 206 : 200, {
        "content-length": layer.length - from,
        ...(from > 0 && { "content-range": `bytes ${from}-${layer.length - 1}/${layer.length}` }),
      });
      response.write(layer.subarray(from, from + 100_000), () => cutSoon(response));
      return true;
    };
    await expectIt(await prepare());
    const ranges = seen.filter(({ path }) => isLayer(path)).map(({ headers }) => headers.range);
    // A reset may take all along that was on its way.
    expect(ranges.some((range) => /^bytes=[1-9][0-9]*-$/.test(range ?? ""))).toBe(true);
    expect(ranges.length).toBeGreaterThanOrEqual(4);
  });

  it("is not gone on with when the registry begins anew, or answers with another piece", async () => {
    let cut = false;
    let answer: "anew" | "another" = "anew";
    trick = (request, response, path) => {
      if (!isLayer(path)) return false;
      if (!cut || request.headers.range === undefined) {
        cut = true;
        response.writeHead(200, { "content-length": layer.length });
        response.write(layer.subarray(0, 50_000), () => cutSoon(response));
      } else if (answer === "anew") response.writeHead(200).end(layer);
      else response.writeHead(206, { "content-range": `bytes 7-9/${layer.length}` }).end("xyz");
      return true;
    };
    await expectIt(await prepare());
    await removeTree(join(area, "cache"));
    [cut, answer] = [false, "another"];
    await expect(prepare()).rejects.toThrow(/another piece/);
  });

  it("regression: is gone on with when all had come and only its name was missing", async () => {
    trick = (request, response, path) => {
      const from = /^bytes=([0-9]+)-$/.exec(request.headers.range ?? "")?.[1];
      if (!isLayer(path) || Number(from ?? 0) < layer.length) return false;
      response.writeHead(416, { "content-range": `bytes */${layer.length}` }).end();
      return true;
    };
    const folder = join(area, "cache/images/blobs/sha256");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${LAYER.digest.slice(7)}.part`), layer);
    await expectIt(await prepare());
    expect(seen.filter(({ path }) => isLayer(path)).map(({ headers }) => headers.range)).toEqual([
      `bytes=${layer.length - 1}-`,
    ]);
  });

  it("and a busy registry are waited for, a little", async () => {
    let busy = 2;
    trick = (_request, response, path) => {
      if (!isLayer(path) || busy === 0) return false;
      busy -= 1;
      response.writeHead(busy === 1 ? 503 : 429, { "retry-after": "0" }).end();
      return true;
    };
    await expectIt(await prepare());
    trick = (_request, response) => {
      response.writeHead(429, { "retry-after": "3600" }).end();
      return true;
    };
    await removeTree(join(area, "cache"));
    await expect(prepare()).rejects.toThrow(/too busy/);
  });

  it("ends a download that the operator interrupts, and keeps what has come", async () => {
    const stop = new AbortController();
    trick = (_request, response, path) => {
      if (!isLayer(path)) return false;
      response.writeHead(200, { "content-length": layer.length });
      // And then nothing more.
      response.write(layer.subarray(0, 100_000), () =>
        setTimeout(() => stop.abort(new Error("interrupted")), 100),
      );
      return true;
    };
    await expect(prepare({ signal: stop.signal })).rejects.toThrow("interrupted");
    const names = readdirSync(join(area, "cache/images/blobs/sha256"));
    expect(names).toContain(`${LAYER.digest.slice(7)}.part`);
    expect(names.some((name) => name.endsWith(".lock"))).toBe(false);
    expect(existsSync(join(area, "cache/images/roots"))).toBe(false);
  });
});
