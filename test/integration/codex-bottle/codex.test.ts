/** The real Codex in a real bottle, on the host's own system and in a container; only its model is a stand-in. */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cacheOf } from "../../../src/lib/paths.ts";
import { codex } from "../../../src/providers/codex.ts";
import { type ResponsesApi, startResponsesApi } from "../../doubles/responses-api.ts";
import { codexCall, shellCall } from "../../support/codex-call.ts";
import { engineLack, startEngine, type TestEngine } from "../../support/docker-engine.ts";
import { createRealOperator, type RealOperator } from "../../support/real-bottle.ts";

const KEY = ["sk", "proj", randomBytes(18).toString("hex")].join("-");
/** A session's image may have to be built first. */
const START_MS = 240_000;

const ways = [
  { backend: "namespace", lack: undefined },
  { backend: "docker", lack: engineLack() },
] as const;
for (const { backend, lack } of ways)
  if (lack !== undefined) console.warn(`SKIPPED: codex on ${backend}: ${lack}`);

describe.each(ways)("codex in a bottle of $backend", ({ backend, lack }) => {
  let operator: RealOperator;
  let engine: TestEngine | undefined;
  let api: ResponsesApi;

  beforeAll(async () => {
    if (lack !== undefined) return;
    await codex.install(cacheOf(), () => {});
    operator = await createRealOperator({ "README.md": "# A project\n" });
    if (backend === "docker") {
      engine = await startEngine();
      Object.assign(operator.env, {
        DOCKER_HOST: engine.env["DOCKER_HOST"],
        BOT_BOTTLE_IMAGE_BASE: engine.base,
      });
    }
    api = await startResponsesApi({
      tls: await operator.authority.issue(["api.openai.com"]),
      host: backend === "docker" ? "0.0.0.0" : "127.0.0.1",
      credentials: [`Bearer ${KEY}`],
      script: [
        shellCall("printenv; curl -sS https://elsewhere.test/; id -u; echo done > done.txt"),
        codexCall("mcp__bottle__list_capabilities", {}),
        { text: "The work is done." },
        shellCall("cat done.txt"),
        { text: "It is still there." },
      ],
    });
    operator.agent("codex", {
      agent_provider: { template: "codex" },
      backend,
      supervise: true,
      egress: {
        upstream_ca: [operator.caFile],
        routes: [
          {
            host: "api.openai.com",
            connect_to: `${backend === "docker" ? "host.docker.internal" : "127.0.0.1"}:${api.port}`,
            ...(backend === "docker" && { allow_addresses: ["192.168.0.0/16"] }),
          },
        ],
      },
    });
    writeFileSync(
      operator.path("home", "agents", "codex.md"),
      "---\nbottle: codex\nskills: [lighthouse]\n---\nAnswer like a lighthouse keeper.\n",
    );
    mkdirSync(operator.path("home", "skills", "lighthouse"), { recursive: true });
    writeFileSync(
      operator.path("home", "skills", "lighthouse", "SKILL.md"),
      "---\nname: lighthouse\ndescription: How to keep one.\n---\nLight it at dusk.\n",
    );
  }, 600_000);
  afterAll(async () => {
    await operator?.remove();
    await api?.close();
    await engine?.close();
  }, 60_000);

  it.skipIf(lack !== undefined)(
    "works without asking, finds its tools and skills, never has the key, and goes on where it was",
    async () => {
      const env = { OPENAI_API_KEY: KEY };
      const first = await operator.bottle(["start", "codex", "--cwd", "--prompt", "work"], {
        env,
        timeoutMs: START_MS,
      });
      expect(first, first.stderr).toMatchObject({ code: 0, stdout: "The work is done.\n" });
      const id = /^bottle (\S+)$/m.exec(first.stderr)?.[1] ?? expect.fail(first.stderr);

      const [shell = "", tools = ""] = api.toolResults();
      expect(shell).toContain("HOME=/home/node");
      expect(shell).toContain("host-not-allowed");
      expect(shell).toMatch(/\\n1000\\n/);
      expect(tools).toContain("api.openai.com");
      const asked = api.requests.map(({ body }) => body).join("\n");
      expect(asked).toContain("lighthouse: How to keep one.");
      expect(asked).toContain("Answer like a lighthouse keeper.");
      expect(asked).not.toContain(KEY);
      expect(new Set(api.requests.map(({ headers }) => headers["authorization"]))).toEqual(
        new Set([`Bearer ${KEY}`]),
      );
      const denied = operator
        .log(id)
        .flatMap(({ event, data }) => (event === "egress.denied" ? [String(data["target"])] : []));
      expect(new Set(denied.map((target) => /elsewhere\.test/.test(target)))).toEqual(new Set([true]));

      const second = await operator.bottle(["resume", id, "--prompt", "is it there?"], {
        env,
        timeoutMs: START_MS,
      });
      expect(second, second.stderr).toMatchObject({ code: 0, stdout: "It is still there.\n" });
      expect(api.toolResults()[2]).toContain("done");
      const last = api.requests.at(-1)?.body ?? "";
      for (const said of ["work", "The work is done.", "is it there?"]) expect(last).toContain(said);
      expect((await operator.bottle(["audit", "verify", id])).code).toBe(0);
      expect((await operator.bottle(["rm", "--force", id])).code).toBe(0);
    },
    2 * START_MS,
  );
});
