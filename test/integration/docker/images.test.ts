/** Bottles whose system the operator names: their own Dockerfile, and images of every kind, on real engines. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RUNTIME } from "../../../src/backends/docker/own-program.ts";
import type { EngineImage } from "../../../src/engine/images.ts";
import { putIntoEngine } from "../../../src/image/into-engine.ts";
import { cacheOf, homeMark } from "../../../src/lib/paths.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { parseImageSource } from "../../../src/manifest/image-source.ts";
import { claude } from "../../../src/providers/claude.ts";
import { codex } from "../../../src/providers/codex.ts";
import { startResponsesApi } from "../../doubles/responses-api.ts";
import { type MessagesApi, startMessagesApi } from "../../doubles/upstreams.ts";
import { shellCall } from "../../support/codex-call.ts";
import { engineLack, startEngine, type TestEngine } from "../../support/docker-engine.ts";
import { hasImageTools, makeLayout, skopeoCopy } from "../../support/oci.ts";
import { startOciRegistry } from "../../support/oci-registry.ts";
import { podmanLack, startPodman } from "../../support/podman-engine.ts";
import { createRealOperator, IDLE, type RealOperator } from "../../support/real-bottle.ts";

const KEY = ["sk", "ant", "api03", randomBytes(18).toString("hex")].join("-");
const CODEX_KEY = ["sk", "proj", randomBytes(18).toString("hex")].join("-");
const BUSYBOX = "/usr/bin/busybox";
const LONG_AGO = "2020-01-01T00:00:00.000Z";
/** What our own images are built in, on the first start. */
const START_MS = 240_000;

const ways = [
  { name: "docker", lack: engineLack(), start: () => startEngine() },
  { name: "podman", lack: podmanLack(), start: () => startPodman() },
] as const;
for (const { name, lack } of ways)
  if (lack !== undefined) console.warn(`SKIPPED: the operator's own images on ${name}: ${lack}`);

type AnyEngine = Pick<TestEngine, "program" | "env" | "base" | "close">;

describe.each(ways)("a bottle of the operator's own image on $name", ({ name, lack, start }) => {
  let engine: AnyEngine;
  let operator: RealOperator;
  let folder: string;
  let api: MessagesApi;

  const ask = async (...words: readonly string[]): Promise<string> =>
    (await runOk([engine.program, ...words], { env: engine.env })).stdout.toString().trim();
  const ours = (): Promise<string> =>
    ask(
      "image",
      "ls",
      "--filter",
      "label=bot-bottle.image=bot-bottle-image",
      "--filter",
      "dangling=false",
      "--format",
      "{{.ID}}",
    );
  const recipe = (...lines: readonly string[]): void =>
    writeFileSync(join(folder, "Dockerfile"), `${lines.join("\n")}\n`);
  const begin = (agent: string, ...more: readonly string[]) =>
    operator.bottle(["start", agent, "--yes", ...more], {
      timeoutMs: START_MS,
      env: { ANTHROPIC_API_KEY: KEY, OPENAI_API_KEY: CODEX_KEY },
    });
  /** What a start does first. */
  const put = async (word: string): Promise<{ image: EngineImage; progress: string }> => {
    const source = parseImageSource(word);
    if (!source.ok) throw new Error(source.reason);
    const lines: string[] = [];
    const request = { source: source.value, cache: operator.path("cache") };
    const image = await putIntoEngine(engine, { ...request, progress: (line) => void lines.push(line) });
    return { image, progress: lines.join("\n") };
  };
  /** Runs a shell text as the agent. */
  const said = async (agent: string, text: string, ...more: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await begin(agent, "--prompt", text, ...more);
    expect(code, stderr).toBe(0);
    return stdout.trim();
  };

  beforeAll(async () => {
    if (lack !== undefined) return;
    engine = await start();
    operator = await createRealOperator();
    for (const [variable, value] of Object.entries(engine.env))
      if (/^(?:DOCKER_|CONTAINERS_|BOT_BOTTLE_)/.test(variable))
        Object.assign(operator.env, { [variable]: value });
    folder = operator.path("recipe");
    mkdirSync(join(folder, "parts/kept"), { recursive: true });
    writeFileSync(join(folder, ".dockerignore"), "*.key\nparts/*\n!parts/kept\n");
    writeFileSync(join(folder, "host.key"), "not for anybody");
    writeFileSync(join(folder, "parts/left"), "left out");
    writeFileSync(join(folder, "parts/kept/tool"), "#!/bin/sh\necho a tool of $FLAVOUR\n", { mode: 0o755 });
    const shell = { agent_provider: { template: "command", command: ["sh", "-c"] }, backend: "docker" };
    operator.agent("plain", shell);
    operator.agent("own", {
      ...shell,
      agent_provider: { ...shell.agent_provider, dockerfile: join(folder, "Dockerfile") },
    });
    await claude.install(cacheOf(), () => {});
    api = await startMessagesApi({
      tls: await operator.authority.issue(["api.anthropic.com"]),
      host: "0.0.0.0",
      credentials: [{ header: "x-api-key", value: KEY }],
      script: [{ tool: "Bash", input: { command: "cat /made; id -un" } }, { text: "It was made." }],
    });
    operator.agent("claude", {
      agent_provider: { template: "claude", dockerfile: join(folder, "Dockerfile") },
      backend: "docker",
      egress: {
        upstream_ca: [operator.caFile],
        routes: [
          {
            host: "api.anthropic.com",
            connect_to: `host.docker.internal:${api.port}`,
            // A name leads to the host; only the operator can say that it may.
            allow_addresses: ["192.168.0.0/16", "10.0.0.0/8"],
          },
        ],
      },
    });
  }, 600_000);
  afterAll(async () => {
    await operator?.remove();
    await api?.close();
    await engine?.close();
  }, 60_000);

  const test = it.skipIf(lack !== undefined);
  /** What hardly depends on the engine is tried on one, and on all with SOAK=1. */
  const once = it.skipIf(lack !== undefined || (name !== "docker" && process.env["SOAK"] === undefined));

  test("is built from the Dockerfile and its folder, runs as the agent's user, and is left as it was", {
    timeout: START_MS,
  }, async () => {
    recipe(
      `ARG BASE=${engine.base}`,
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the engine's to fill in
      "FROM ${BASE} AS first",
      "RUN echo made >/made",
      "FROM first",
      "COPY . /context",
      "COPY --from=first /made /made-too",
      "ENV FLAVOUR=blue LD_PRELOAD=/nothing.so NODE_OPTIONS=--no-such-option",
      "HEALTHCHECK --interval=1s CMD touch /data/ill",
      "RUN mkdir -p /data && echo first >/data/note && chown -R 1000:1000 /data",
      "VOLUME /data",
      "USER 0",
    );
    const look = [
      "id -un; cat /made /made-too; /context/parts/kept/tool; env | grep -c '^LD_PRELOAD=/nothing.so'",
      "find /context -type f | sort; stat -c %Y /context/Dockerfile; cat /data/note; echo more >/data/note",
      "(echo >/x) 2>/dev/null || echo read-only; ls /sys/class/net; cat /proc/self/status | grep -c 'CapEff:.0*$'",
    ].join("; ");
    const { code, stdout, stderr } = await begin("own", "--prompt", look);
    expect(code, stderr).toBe(0);
    expect(stdout.split("\n")).toEqual([
      ...["node", "made", "made", "a tool of blue", "1"],
      ...["/context/.dockerignore", "/context/Dockerfile", "/context/parts/kept/tool", "946684800"],
      ...["first", "read-only", "lo", "1", ""],
    ]);
    expect(stderr).toMatch(/building: step \d of \d+: RUN echo made >\/made/);
    expect(stderr).toContain(`dockerfile:${join(folder, "Dockerfile")}`);
    expect((await ask("volume", "ls", "--format", "{{.Name}}")).replace(/bot-bottle-runtime-\w+/, "")).toBe(
      "",
    );
  });

  once("has no word in what our own programs start with", { timeout: START_MS }, async () => {
    recipe(
      `FROM ${engine.base}`,
      "RUN ls /lib/*/libBrokenLocale.so.1 >/etc/ld.so.preload && test -s /etc/ld.so.preload",
      "RUN mkdir -p /etc/ssl && printf 'nodejs_conf = own\\n[own]\\nproviders = nowhere\\n' >/etc/ssl/openssl.cnf",
    );
    const look =
      "for maps in /proc/[0-9]*/maps; do grep -q ld.so $maps && grep -c BrokenLocale $maps; done; true";
    expect(await said("own", look)).toBe("0");
    // What it mounts over ours, or by a link that leads there.
    recipe(
      `FROM ${engine.base}`,
      "RUN mkdir -p $OWN/lib /a/b/c && touch $OWN/lib/theirs && ln -s $OWN /a/b/c/d".replaceAll(
        "$OWN",
        RUNTIME,
      ),
      "VOLUME /a/b/c/d/lib",
      `VOLUME ${dirname(RUNTIME)}`,
    );
    expect(await said("own", `ls ${RUNTIME}/lib | grep -c theirs; true`)).toBe("0");
    recipe(`FROM ${engine.base}`, `VOLUME ${RUNTIME}/lib`);
    const { code, stderr } = await begin("own", "--prompt", "true");
    expect(stderr).toContain("in a deeper folder than a guest has");
    expect(code).toBe(1);
  });

  once(
    "is not built again until the Dockerfile, its folder or its base changes",
    {
      timeout: START_MS,
    },
    async () => {
      const word = `dockerfile:${join(folder, "Dockerfile")}`;
      const built = async (): Promise<boolean> => /building/.test((await put(word)).progress);
      recipe(`FROM ${engine.base}`, "COPY parts/kept/tool /tool");
      expect(await built()).toBe(true);
      utimesSync(join(folder, "parts/kept/tool"), 1, 1);
      writeFileSync(join(folder, "host.key"), "another one");
      expect(await built()).toBe(false);
      writeFileSync(join(folder, "parts/kept/tool"), "#!/bin/sh\necho another tool of $FLAVOUR\n");
      expect(await built()).toBe(true);
      await ask("tag", engine.base, "moving-base:latest");
      recipe(`FROM ${name === "podman" ? "localhost/" : ""}moving-base:latest`);
      expect(await built()).toBe(true);
      expect(await built()).toBe(false);
      const { image } = await put(word);
      await ask("tag", await ask("commit", await ask("create", engine.base, "true")), "moving-base:latest");
      await ask("rm", (await ask("ps", "--all", "--quiet")).trim());
      expect(await built()).toBe(true);
      expect((await put(word)).image.id).not.toBe(image.id);
      // Two who want it at once make it once.
      recipe(`FROM ${engine.base}`, "RUN sleep 1");
      const both = await Promise.all([put(word), put(word)]);
      expect(new Set(both.map(({ image: { id } }) => id)).size).toBe(1);
      expect(both.filter(({ progress }) => /building/.test(progress))).toHaveLength(1);
    },
  );

  once(
    "that cannot be built is explained by its line, and nothing is kept or started",
    {
      timeout: START_MS,
    },
    async () => {
      const before = await ours();
      recipe(
        `FROM ${engine.base}`,
        "# A remark.",
        "RUN echo fine \\",
        "  && echo still",
        "RUN echo no such thing >&2; exit 3",
      );
      const { code, stderr } = await begin("own", "--prompt", "true");
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /recipe\/Dockerfile:5 cannot be built, step 3 of \d+ \(RUN echo no such thing >&2; exit 3\)/,
      );
      expect(stderr).toMatch(/no such thing\n(.*\n)*.*3/);
      recipe("FROM nowhere.invalid/no/such:image");
      expect((await begin("own", "--prompt", "true")).stderr).toMatch(
        /recipe\/Dockerfile(?::1)? cannot be built/,
      );
      recipe("FORM scratch");
      expect((await begin("own", "--prompt", "true")).stderr).toMatch(/cannot be built(.*\n)*.*(FORM|FROM)/i);
      expect(await ours()).toBe(before);
      expect(await ask("ps", "--all", "--quiet")).toBe("");
    },
  );

  test("of a registry, a layout, an archive, a folder or the engine itself needs neither Node nor a C library", {
    timeout: START_MS,
  }, async () => {
    const root = busyboxRoot(operator.path("root"), "of a folder");
    const tar = operator.path("root.tar");
    execFileSync("tar", ["--owner=0", "--group=0", "-C", root, "-cf", tar, "."]);
    await ask("import", tar, "of-the-engine:1");
    const saved = operator.path("saved.tar");
    await ask("save", "--output", saved, "of-the-engine:1");
    const words = [`dir:${root}`, "docker-daemon:of-the-engine:1", `docker-archive:${saved}`];
    const layers = [];
    for (const word of words) {
      const { image } = await put(word);
      layers.push(image.layers.length);
      const again = await put(word);
      expect(again.image.id).toBe(image.id);
      expect(again.progress).not.toMatch(/loading/);
    }
    expect(layers).toEqual([1, 1, 1]);
    const text = "cat /said; id -un; ls /bin/node 2>&1 | wc -l; echo $SAID";
    if (!hasImageTools) {
      expect(await said("plain", text, "--image", `dir:${root}`)).toBe("of a folder\nnode\n1");
      return;
    }
    const layout = await makeLayout([readFileSync(tar)], { config: ["--config.env=SAID=of a layout"] });
    const registry = await startOciRegistry();
    try {
      const word = `docker://${registry.host}/dev:1`;
      await skopeoCopy(`oci:${layout.path}:${layout.ref}`, word, ["--dest-tls-verify=false"]);
      const [ofLayout, ofRegistry] = [await put(`oci:${layout.path}:${layout.ref}`), await put(word)];
      // The same content is the same image, however it comes.
      expect(ofRegistry.image.id).toBe(ofLayout.image.id);
      expect(ofRegistry.image.env).toMatchObject({ SAID: "of a layout" });
      expect(await said("plain", text, "--image", word)).toBe("of a folder\nnode\n1\nof a layout");
    } finally {
      layout.remove();
      await registry.stop();
    }
  });

  once(
    "is built beforehand, listed, told of and removed by bottle image, and only while nobody wants it",
    {
      timeout: START_MS,
    },
    async () => {
      recipe(`FROM ${engine.base}`, "ENV MARK=known");
      const word = `dockerfile:${join(folder, "Dockerfile")}`;
      const image = async (...args: readonly string[]): Promise<string> => {
        const { code, stdout, stderr } = await operator.bottle(["image", ...args], { timeoutMs: START_MS });
        expect(code, stderr).toBe(0);
        return stdout.trim();
      };
      const id = await image("build", "--engine", word);
      expect(await image("list")).toContain(word);
      const listed = JSON.parse(await image("list", "--json")) as {
        key: string;
        id: string;
        where: string;
      }[];
      const [one] = listed.filter((each) => each.id === id);
      expect(one).toMatchObject({ where: "engine", name: word, env: { MARK: "known" } });
      expect(await image("inspect", id)).toContain("environment   MARK=known");
      // Just made: perhaps for a start that is under way.
      expect(await image("prune", "--json", "--yes")).not.toContain(one?.key);
      // What the manifest wanted once, and another home's.
      const old = async (name: string, home: string, of: string): Promise<void> => {
        const labels = [
          "image=bot-bottle-image",
          `home=${home}`,
          `image.of=${of}`,
          "image.digest=0",
          `image.made=${LONG_AGO}`,
        ];
        const changes = labels.flatMap((label) => ["--change", `LABEL bot-bottle.${label}`]);
        await ask("import", ...changes, operator.path("Old.tar"), `bot-bottle-image:${name}`);
      };
      writeFileSync(operator.path("old"), "old");
      execFileSync("tar", ["-C", operator.root, "-cf", operator.path("Old.tar"), "old"]);
      await old("older", homeMark(operator.home), word);
      await old("other", "0123456789abcdef", word);
      expect(await image("prune", "--dry-run")).toMatch(/dockerfile:.*, in the engine/);
      await image("prune", "--yes");
      const left = await ask("image", "ls", "--format", "{{.Tag}}");
      expect(left).toContain("other");
      expect(left).not.toContain("older");
      expect(left).toContain(one?.key.split(":")[1]);
    },
  );

  once(
    "without what a bottle needs is refused by what it lacks, before its agent runs",
    {
      timeout: START_MS,
    },
    async () => {
      const root = busyboxRoot(operator.path("bare"), "bare", ["tar", "rm"]);
      const bare = await begin("plain", "--image", `dir:${root}`, "--prompt", "true");
      expect(bare.code).toBe(1);
      expect(bare.stderr).toMatch(/the image dir:.*bare has no rm, tar\n/);
      const missing = operator.path("whole");
      operator.agent("absent", {
        agent_provider: { ...IDLE, command: ["no-such-agent"] },
        backend: "docker",
      });
      const absent = await begin("absent", "--image", `dir:${busyboxRoot(missing, "whole")}`, "--detach");
      expect(absent.stderr).toMatch(/the image dir:.*whole has no no-such-agent/);
      for (const [image, words] of [
        ["kept:nothing", /is not for the backend docker, whose guests have no disk of their own/],
        ["docker-daemon:no-such:1", /has no image no-such:1/],
        [`dockerfile:${operator.path("Dockerfile")}`, /there is no Dockerfile/],
        [`dockerfile:${operator.path("home/bottles/plain.md")}`, /would take .*home along, or is in it/],
      ] as const)
        expect((await begin("plain", "--image", image, "--prompt", "true")).stderr).toMatch(words);
      expect(await ask("ps", "--all", "--quiet")).toBe("");
    },
  );

  once("has Claude Code do a turn with its tools in it", { timeout: START_MS }, async () => {
    recipe(`FROM ${engine.base}`, "RUN echo made for it >/made");
    expect(await said("claude", "Look at it.")).toBe("It was made.");
    expect(api.toolResults().join()).toBe("made for it\nnode");
    expect(api.requests.map(({ body }) => body).join("\n")).not.toContain(KEY);
  });

  // Its release is 167 MB, and stays in the cache.
  it.skipIf(lack !== undefined || process.env["SOAK"] === undefined)(
    "has Codex do a turn with its tools in it (npm run soak -- docker)",
    { timeout: 2 * START_MS },
    async () => {
      await codex.install(cacheOf(), () => {});
      const { hosts = [] } = codex.credentials.find(({ tokenRef }) => tokenRef === "OPENAI_API_KEY") ?? {};
      const responses = await startResponsesApi({
        tls: await operator.authority.issue(codex.credentialHosts as [string, ...string[]]),
        host: "0.0.0.0",
        credentials: [`Bearer ${CODEX_KEY}`],
        script: [shellCall("cat /made; id -un; printenv OPENAI_API_KEY"), { text: "It was made here too." }],
      });
      try {
        operator.agent("codex", {
          agent_provider: { template: "codex", dockerfile: join(folder, "Dockerfile") },
          backend: "docker",
          egress: {
            upstream_ca: [operator.caFile],
            routes: hosts.map((host) => ({
              ...{ host, connect_to: `host.docker.internal:${responses.port}` },
              allow_addresses: ["192.168.0.0/16", "10.0.0.0/8"],
            })),
          },
        });
        recipe(`FROM ${engine.base}`, "RUN echo made for codex >/made");
        expect(await said("codex", "Look at it.")).toBe("It was made here too.");
        const results = responses.toolResults().join();
        // As JSON has it.
        expect(results).toContain("made for codex\\nnode");
        expect(results).not.toContain(CODEX_KEY);
      } finally {
        await responses.close();
      }
    },
  );

  once("without a C library is refused for Claude Code", { timeout: START_MS }, async () => {
    const image = `dir:${busyboxRoot(operator.path("small"), "small")}`;
    const { code, stderr } = await begin("claude", "--image", image, "--prompt", "Look at it.");
    expect(code).toBe(1);
    expect(stderr).toMatch(/claude cannot start in the image dir:.*small: it has no \/lib.*\/ld-linux/);
  });
});

/** A system of one program, linked statically. */
function busyboxRoot(root: string, words: string, without: readonly string[] = []): string {
  if (existsSync(root)) return root;
  mkdirSync(join(root, "bin"), { recursive: true });
  copyFileSync(BUSYBOX, join(root, "bin/busybox"));
  for (const name of ["sh", "cat", "mkdir", "rm", "tar", "id", "ls", "wc", "true", "env"])
    if (!without.includes(name)) copyFileSync(BUSYBOX, join(root, "bin", name));
  writeFileSync(join(root, "said"), `${words}\n`);
  return root;
}
