/**
 * A bottle on an engine with the rules that it makes by default (NAT, forwarding, a chain for each network), where the
 * other tests' engines make none: on a host of the test's own, whose rules nobody else has. A minute, most of it for the
 * engine's images: `npm run soak -- docker`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runOk } from "../../../src/lib/processes.ts";
import { type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";
import { engineLack, hasProgram, startEngine, type TestEngine } from "../../support/docker-engine.ts";
import { differences, type PrivateHost, startPrivateHost } from "../../support/private-host.ts";

const lack =
  engineLack() ??
  (hasProgram("iptables") ? undefined : "iptables is not installed") ??
  (process.env["SOAK"] === undefined ? "it takes a minute: npm run soak -- docker" : undefined);
if (lack !== undefined) console.warn(`SKIPPED: docker with rules of its own: ${lack}`);

/** Says where it listens, and answers everybody. */
const SITE = `require("node:http").createServer((_, answer) => answer.end("reached")).listen(0, "0.0.0.0", function () { console.log(this.address().port) })`;

describe.skipIf(lack !== undefined)("a bottle on an engine with rules of its own", () => {
  let host: PrivateHost;
  let engine: TestEngine;
  let cli: BottleCli;
  const rules = async (): Promise<string> => {
    const [program = "", ...args] = [...host.words("/"), "iptables-save"];
    return (await runOk([program, ...args])).stdout.toString();
  };

  beforeAll(async () => {
    host = await startPrivateHost({ sharesCgroups: true });
    engine = await startEngine({ words: host.words("/"), ownRules: true });
    const { DOCKER_HOST = "" } = engine.env;
    cli = createBottleCli({ words: host.words, env: { DOCKER_HOST, BOT_BOTTLE_IMAGE_BASE: engine.base } });
  }, 120_000);
  afterAll(async () => {
    await cli?.run(["rm", "--force", ...cli.kept()]);
    await engine?.close();
    await host?.close();
    await cli?.remove();
  }, 60_000);

  it("reaches by its link what was allowed, and nothing else; its network's rules go with it", async () => {
    const [program = "", ...args] = [...host.words("/"), process.execPath, "-e", SITE];
    const site = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
    const [line] = (await once(site.stdout, "data")) as [Buffer];
    try {
      const route = {
        host: "allowed.test",
        connect_to: `host.docker.internal:${Number(line)}`,
        allow_addresses: ["192.168.0.0/16"],
      };
      cli.agent("sh", ["sh", "-c"], { bottle: { backend: "docker", egress: { routes: [route] } } });
      const prepared = await cli.run(["start", "sh", "--yes", "-p", "true"]);
      expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
      const before = (await rules()).split("\n").filter((each) => each.startsWith("-A"));
      expect(before.join("\n")).toContain("MASQUERADE");

      const id = await cli.start("sh", "-p", "sleep 600");
      const during = (await rules()).split("\n").filter((each) => each.startsWith("-A"));
      expect(differences(before, during).join("\n")).toMatch(
        /\+ -A POSTROUTING -s 192\.168\.\d+\.0\/24 .*MASQUERADE/,
      );
      const said = async (text: string): Promise<string> =>
        (await cli.run(["exec", "-T", id, "--", "sh", "-c", text])).stdout.trim();
      expect(await said("curl -sS http://allowed.test/")).toBe("reached");
      expect(await said("curl -sS http://other.test/")).toContain("denied");
      const gateway = /-s (192\.168\.\d+)\.0\/24/.exec(differences(before, during).join("\n"))?.[1] ?? "";
      for (const address of [`${gateway}.1`, `${gateway}.2`, "172.17.0.1", "1.1.1.1"])
        expect(
          await said(`curl -sS -m 2 --noproxy '*' http://${address}:${Number(line)}/ 2>&1 || :`),
          address,
        ).toMatch(/Couldn't connect|Failed to connect|unreachable/i);
      expect((await cli.run(["rm", "--force", id])).code).toBe(0);
      const after = (await rules()).split("\n").filter((each) => each.startsWith("-A"));
      expect(differences(before, after)).toEqual([]);
    } finally {
      // What it runs there ends with the host.
      site.kill("SIGKILL");
      site.stdout.destroy();
    }
  }, 300_000);
});
