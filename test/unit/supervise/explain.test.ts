import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type * as z from "zod";
import { capabilitiesOf } from "../../../src/approvals/ledger.ts";
import type { Capabilities } from "../../../src/contract/approvals.ts";
import {
  DENIAL_STATUS as EGRESS_STATUS,
  denialOf as egressDenial,
  refuse as egressRefuse,
} from "../../../src/sidecars/egress/denial.ts";
import {
  DENIAL_STATUS as GIT_STATUS,
  denialOf as gitDenial,
  refuse as gitRefuse,
} from "../../../src/sidecars/git-gate/denial.ts";
import { accessShape, denialShape, exceptionShape } from "../../../src/sidecars/supervise/arguments.ts";
import { EGRESS_DENIALS, GIT_DENIALS } from "../../../src/sidecars/supervise/denials.ts";
import { explain } from "../../../src/sidecars/supervise/explain.ts";
import { tellCapabilities } from "../../../src/sidecars/supervise/words.ts";

const CAPABILITIES: Capabilities = {
  routes: [{ host: "*.x.test", matches: [{ methods: ["GET"] }], authenticated: true }],
  repos: [{ name: "app", refs: [{ pattern: "refs/heads/bottle/*", force: false, delete: false }] }],
};

const SHAPES: Readonly<Record<string, z.ZodType>> = {
  request_access: accessShape,
  request_exception: exceptionShape,
  explain_denial: denialShape,
};

describe("a denial's ready-made call", () => {
  const text = fc.string({ unit: "binary", maxLength: 700 });

  it("is always one that the tool reads, whatever was refused", () => {
    const subject = fc.record({ method: text, host: text, path: text }, { requiredKeys: ["method"] });
    fc.assert(
      fc.property(subject, (refused) => {
        const { ask } = egressDenial(egressRefuse("host-not-allowed", "no", "no route"), refused).denied;
        expect(accessShape.safeParse(ask.arguments).success).toBe(true);
      }),
    );
    const push = fc.record({
      repo: text,
      what: fc.array(text, { maxLength: 40 }),
      subjects: fc.array(text, { maxLength: 60 }),
    });
    fc.assert(
      fc.property(
        push,
        fc.constantFrom(...(Object.keys(GIT_STATUS) as (keyof typeof GIT_STATUS)[])),
        (refused, code) => {
          const { repo, what, subjects } = refused;
          const { ask } = gitDenial(gitRefuse(code, "no", "rule", { subjects }), {
            action: "push",
            repo,
            what,
          }).denied;
          expect(SHAPES[ask.tool]?.safeParse(ask.arguments)).toMatchObject({ success: true });
        },
      ),
    );
  });
});

describe("the explanations", () => {
  it("are of every code of egress's and of git-gate's, and of no other", () => {
    expect(Object.keys(EGRESS_DENIALS).sort()).toEqual(Object.keys(EGRESS_STATUS).sort());
    expect(Object.keys(GIT_DENIALS).sort()).toEqual(Object.keys(GIT_STATUS).sort());
  });

  it("of a host give the denial's own call, and what is allowed there", () => {
    const { denied } = egressDenial(egressRefuse("method-not-allowed", "no", "rule"), {
      method: "POST",
      scheme: "https",
      host: "api.x.test",
      path: "/v1",
    });
    expect(explain(denied, CAPABILITIES)).toMatchObject({
      means: "The path is allowed, but not with this method.",
      call: { tool: "request_access", arguments: { host: "api.x.test", method: "POST", path: "/v1" } },
      allowed_there: ["*.x.test: GET on any path (a credential is added for you)"],
    });
  });

  it("of a path are not those of a path in a push", () => {
    const push = gitDenial(gitRefuse("path-not-allowed", "no", "paths: src", { subjects: ["docs/a"] }), {
      action: "push",
      repo: "app",
    }).denied;
    expect(explain(push, CAPABILITIES)).toMatchObject({
      means: "The push changes paths outside of those that it may.",
      call: { tool: "request_exception", arguments: { repo: "app", subjects: ["docs/a"] } },
      allowed_there: ["app: push to refs/heads/bottle/*"],
    });
    expect(explain({ code: "path-not-allowed" }, CAPABILITIES)?.["means"]).toMatch(/^The host is reachable/);
  });

  it("of a forced push and of a deletion give the denial's own call, for access to those refs", () => {
    const refs = ["refs/heads/bottle/a", "refs/heads/bottle/b"];
    for (const [code, how] of [
      ["force-not-allowed", "force"],
      ["delete-not-allowed", "delete"],
    ] as const) {
      const subject = { action: "push", repo: "app", what: refs } as const;
      const { denied } = gitDenial(gitRefuse(code, "no", how), subject);
      const call = { tool: "request_access", arguments: { repository: "app", refs, [how]: true } };
      expect(denied.ask).toEqual(call);
      expect(explain(denied, CAPABILITIES)).toMatchObject({
        call,
        allowed_there: ["app: push to refs/heads/bottle/*"],
      });
    }
  });

  it("of what cannot be excepted are what the denial itself calls for", () => {
    const subject = { action: "push", repo: "app", what: ["refs/heads/x"] } as const;
    const { ask } = gitDenial(gitRefuse("pack-refused", "no", "rule"), subject).denied;
    expect(ask.tool).toBe("explain_denial");
    const told = explain(denialShape.parse(ask.arguments), CAPABILITIES);
    expect(told).toMatchObject({ allowed_there: ["app: push to refs/heads/bottle/*"] });
    expect(told).not.toHaveProperty("call");
  });

  it("name the headers that a rule asks for, and not what has to be in them", () => {
    const value = ["shared", "with", "the", "server"].join("-");
    const matches = [{ headers: [{ name: "x-key", type: "exact", value }] }] as const;
    const route = {
      host: "a.test",
      matches,
      tls: "terminate",
      credentialHeaders: [],
      allowAddresses: [],
    } as const;
    const capabilities = capabilitiesOf({ routes: [route], repos: [], findings: [], gitExceptions: [] });
    const said = JSON.stringify([
      tellCapabilities({ capabilities, secrets: [], now: 0, requests: [], frozen: false }, 0),
      explain(
        { code: "header-not-allowed", ask: { tool: "x", arguments: { host: "a.test" } } },
        capabilities,
      ),
    ]);
    expect(said).toContain("any method on any path with a x-key header");
    expect(said).not.toContain(value);
  });

  it("give no call where none would be taken", () => {
    const cut = { tool: "request_access", arguments: { host: "10.0.0.1" } };
    expect(explain({ code: "host-not-allowed", ask: cut }, CAPABILITIES)).not.toHaveProperty("call");
    expect(explain({ code: "upstream-tls", ask: cut }, CAPABILITIES)).not.toHaveProperty("call");
    expect(explain({ code: "__proto__" }, CAPABILITIES)).toBeUndefined();
    expect(explain({ code: "nonsense" }, CAPABILITIES)).toBeUndefined();
  });
});
