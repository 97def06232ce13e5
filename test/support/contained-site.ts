/**
 * An operator with an engine of his own, and a site on this host that containers reach: what bottles whose sidecars are in
 * a container are tried with.
 */
import { randomBytes } from "node:crypto";
import { runOk } from "../../src/lib/processes.ts";
import { startPlainSite, type Upstream } from "../doubles/upstreams.ts";
import { startEngine, type TestEngine } from "./docker-engine.ts";
import { createRealOperator, type RealOperator } from "./real-bottle.ts";

export interface ContainedSite {
  /** Credential-shaped, and no credential; nobody else's, so that whoever has it has it of this operator. */
  readonly token: string;
  /** Has the engine, and the token as SITE_TOKEN, in its environment. */
  readonly operator: RealOperator;
  readonly engine: TestEngine;
  /** `allowed.test`. */
  readonly site: Upstream;
  /** Of a bottle's file: the route to it, with its credential. */
  readonly egress: {
    readonly upstream_ca: readonly string[];
    readonly routes: readonly Readonly<Record<string, unknown>>[];
  };
  /** When all this was not there yet. */
  readonly since: number;
  /** What the docker command says. */
  docker(...words: readonly string[]): Promise<string>;
  /** All that the engine has of which the name says so. */
  named(word: string): Promise<readonly string[]>;
  close(): Promise<void>;
}

export async function startContainedSite(): Promise<ContainedSite> {
  const since = Date.now();
  const token = ["ghp", randomBytes(18).toString("hex")].join("_");
  const engine = await startEngine();
  const operator = await createRealOperator();
  Object.assign(operator.env, {
    DOCKER_HOST: engine.env["DOCKER_HOST"],
    BOT_BOTTLE_IMAGE_BASE: engine.base,
    SITE_TOKEN: token,
  });
  const site = await startPlainSite({
    tls: await operator.authority.issue(["allowed.test"]),
    host: "0.0.0.0",
  });
  await runOk(["git", "init", "--quiet", "--bare", operator.path("upstream.git")]);
  const docker = async (...words: readonly string[]): Promise<string> =>
    (await runOk(["docker", ...words], { env: engine.env })).stdout.toString().trim();
  return {
    ...{ operator, engine, site, since, token, docker },
    egress: {
      upstream_ca: [operator.caFile],
      routes: [
        {
          host: "allowed.test",
          connect_to: `host.docker.internal:${site.port}`,
          // A name leads to the host; only the operator can say that it may.
          allow_addresses: ["192.168.0.0/16"],
          auth: { scheme: "Bearer", token_ref: "SITE_TOKEN" },
        },
      ],
    },
    async named(word) {
      const texts = await Promise.all([
        docker("container", "ls", "--all", "--format", "{{.Names}}"),
        docker("network", "ls", "--format", "{{.Name}}"),
        docker("volume", "ls", "--format", "{{.Name}}"),
      ]);
      return texts
        .flatMap((text) => text.split("\n"))
        .filter((name) => name.includes(word))
        .sort();
    },
    async close() {
      await operator.remove();
      await site.close();
      await engine.close();
    },
  };
}
