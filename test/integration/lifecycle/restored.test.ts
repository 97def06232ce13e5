/** What `bottle resume` gives a bottle back: all that it was, and of what it was given that which still holds. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlainSite, type Upstream } from "../../doubles/upstreams.ts";
import { givenInBottle } from "../../support/given-in-bottle.ts";
import {
  createRealOperator,
  isRoot,
  type RealBottle,
  type RealOperator,
  shell,
} from "../../support/real-bottle.ts";

const SITE = "site.test";
/** Runs what follows where the program that makes namespaces is another's. */
const WITHOUT_NAMESPACES = [
  "unshare",
  ...(isRoot ? [] : ["--user", "--map-root-user"]),
  ...["--mount", "--", "sh", "-ec", 'mount --bind /bin/false "$(command -v unshare)"; exec "$@"', "sh"],
];

let operator: RealOperator;
let site: Upstream;
let first: RealBottle;
let second: RealBottle;

const status = (bottle: RealBottle, path: string): Promise<string> =>
  bottle.sh(`curl -sS -o /dev/null -w '%{http_code}' https://${SITE}${path}`);
const row = async (): Promise<Readonly<Record<string, unknown>> | undefined> =>
  (JSON.parse((await operator.bottle(["list", "--json"])).stdout) as Record<string, unknown>[])[0];
const given = (path: string, ...flags: readonly string[]): Promise<string> =>
  givenInBottle(operator, first, { host: SITE, path }, flags);

beforeAll(async () => {
  operator = await createRealOperator();
  site = await startPlainSite({ tls: await operator.authority.issue([SITE]) });
  operator.agent(
    "worker",
    {
      agent_provider: shell('echo "life of $LIFE" >>~/lives; sleep infinity'),
      supervise: true,
      env: { LIFE: "one agent" },
      egress: {
        upstream_ca: [operator.caFile],
        routes: [
          {
            host: SITE,
            connect_to: `127.0.0.1:${site.port}`,
            matches: [{ paths: [{ type: "exact", value: "/open" }] }],
          },
        ],
      },
    },
    "Be careful.",
  );
  first = await operator.start("worker", ["--label", "My task", "--cwd"]);
  await given("/for-an-hour", "--for", "1h");
  await given("/for-this-bottle", "--session");
  await given("/once", "--once");
  const revoked = await given("/taken-back", "--for", "1h");
  await operator.bottle(["inbox", "revoke", revoked]);
  expect(await status(first, "/once")).toBe("404");
  // Last: while one is approved none may end, or what was shown is not what would be.
  await given("/for-a-moment", "--for", "1s");
  await first.sh("echo changed >>workspace/README.md; echo mine >~/note");
  await first.logged(({ event, data }) => event === "grant.ended" && data["how"] === "expired");
  expect((await first.stop()).code).toBe(0);
  // What is on disk by now is for the next bottle, not for this one.
  operator.agent("worker", { agent_provider: shell("exit 1") }, "Be quick.");
});
afterAll(async () => {
  await operator.remove();
  await site.close();
});

describe("a bottle that is resumed", () => {
  it("is refused where its backend is not to be had any more, which says so and how to get on", async () => {
    const refused = await operator.bottle(["resume", first.id, "--yes", "--detach"], {
      wrapper: WITHOUT_NAMESPACES,
    });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/ran on namespace, which this host cannot run now: \S/);
    expect(refused.stderr).toMatch(
      /next: {2}bottle doctor tells .*; bottle pull \S+ takes its work out as it was left/,
    );
    // Its work needs no guest.
    const { code, stdout } = await operator.bottle(["diff", first.id], { wrapper: WITHOUT_NAMESPACES });
    expect([code, stdout]).toEqual([0, expect.stringContaining("+changed")]);
    expect(await row()).toMatchObject({ id: first.id, state: "kept" });
  });

  it("has its name, label, backend, agent, prompt, workspace and home again", async () => {
    expect(await row()).toMatchObject({
      id: first.id,
      label: "My task",
      backend: "namespace",
      state: "kept",
    });
    const resumed = await operator.bottle(["resume", first.id, "--yes", "--detach"]);
    expect(resumed.code, resumed.stderr).toBe(0);
    second = await operator.adopt(first.id);
    expect(second.keeper).not.toBe(first.keeper);
    expect(await row()).toMatchObject({
      label: "My task",
      backend: "namespace",
      agent: "worker",
      state: "running",
    });
    expect(await second.sh('cat "$BOT_BOTTLE_PROMPT_FILE"')).toContain("Be careful.");
    expect(
      await second.sh("cat ~/note; tail -n 1 workspace/README.md; git -C workspace status --short"),
    ).toBe("mine\nchanged\n M README.md");
    expect(await second.sh("cat ~/lives")).toBe("life of one agent\nlife of one agent");
    expect(await status(second, "/open")).toBe("404");
  });

  it("has the grants that are still valid, and none that was spent, taken back or over", async () => {
    const paths = ["/for-an-hour", "/for-this-bottle", "/once", "/taken-back", "/for-a-moment"];
    const codes = await Promise.all(paths.map((path) => status(second, path)));
    expect(codes).toEqual(["404", "404", "403", "403", "403"]);
    const { stdout } = await operator.bottle(["inbox", "--json"]);
    const named = new Set(stdout.match(/\/(?:for-[a-z-]+|once|taken-back)/g));
    expect([...named].sort()).toEqual(["/for-an-hour", "/for-this-bottle"]);
    expect((await second.stop()).code).toBe(0);
  });
});
