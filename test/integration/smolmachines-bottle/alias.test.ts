/** A bottle on a loopback address of its own, where no network namespace can be had: whoever uses it needs its bearer. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ALIASES } from "../../../src/backends/smolmachines/alias.ts";
import { type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";
import { programFile } from "../../support/outer-network.ts";
import { hasProgram } from "../../support/real-bottle.ts";
import { because, installSmolvm, machineLack } from "../../support/smolvm.ts";

/**
 * Prints what egress says to a request of the agent's that carries what its environment has, and to one that does not; what
 * answers where GIT_GATE_URL leads, to one without; and the places.
 */
const ASK = `denied() { curl -s -o /dev/null -D - --max-time 10 "$@" | tr -d '\\r' | sed -n 's/^x-bottle-denied: //p'; }
denied http://elsewhere.test/; denied --proxy "http://\${HTTP_PROXY#*@}" http://elsewhere.test/
denied --noproxy '*' "$GIT_GATE_URL/app.git/info/refs?service=git-upload-pack"
git config --get-urlmatch http.extraHeader "$GIT_GATE_URL/" | cut -c 1-22
for each in "\${HTTP_PROXY#*@}" "$NO_PROXY" "$GIT_GATE_URL" "$MCP_SUPERVISE_URL"; do echo "$each"; done`;

/** In a network where nothing of this host's listens on all addresses. */
const ALONE = [
  "unshare",
  "--net",
  "--",
  "sh",
  "-c",
  `${programFile("ip")} link set lo up; exec "$@"`,
  "alone",
];

const lack = machineLack() ?? (hasProgram("curl") ? undefined : "there is no curl");
if (lack !== undefined) console.warn(`SKIPPED: a bottle without a network namespace: ${lack}`);

describe.skipIf(lack !== undefined)(`a bottle without a network namespace${because(lack)}`, () => {
  let cli: BottleCli;
  let folder = "";
  let path: string | undefined;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "bbp-"));
    path = process.env["PATH"];
    // Stands before the real one on PATH; the stand-in's guests still have that.
    const bin = join(folder, "bin");
    mkdirSync(bin);
    writeFileSync(
      join(bin, "ip"),
      `#!/bin/sh\n[ -n "$VM_HOST" ] && exec ${programFile("ip")} "$@"\nexit 1\n`,
      { mode: 0o755 },
    );
    process.env["PATH"] = `${bin}:${installSmolvm(folder, "0.8.0", { closed: ["A.7.3"] })}:${path}`;
    cli = createBottleCli();
    const key = cli.path("u/key");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    // Nobody is there to have it.
    const host_key = readFileSync(`${key}.pub`, "utf8").split(" ").slice(0, 2).join(" ");
    const repos = { app: { url: "ssh://git@127.0.0.1:2/app.git", key, host_key } };
    cli.agent("sh", ["sh", "-c"], {
      bottle: { backend: "smolmachines", supervise: true, "git-gate": { repos } },
    });
  });
  afterAll(async () => {
    process.env["PATH"] = path;
    await cli.expectNothingLeft();
    await cli.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it("is reached by its own agent, and by nobody who does not know its bearer", async () => {
    const run = await cli.run(["start", "sh", "-p", ASK], { wrapper: ALONE });
    expect(run, run.stderr).toMatchObject({ code: 0 });
    const [withBearer, without, gate, header, proxy = "", ...places] = run.stdout.trim().split("\n");
    expect(withBearer).toBe("host-not-allowed");
    expect(without).toBe("bearer-required");
    expect(gate).toBe("bearer-required");
    expect(header).toBe("Authorization: Bearer ");
    const [, alias = ""] = /^(127\.0\.0\.\d+):9099$/.exec(proxy) ?? [];
    expect(ALIASES).toContain(alias);
    expect(places).toEqual([
      `localhost,127.0.0.1,::1,${alias}`,
      `http://${alias}:9420`,
      `http://${alias}:9100/mcp`,
    ]);
    expect(run.stderr).toContain("a filtered network");
  });
});
