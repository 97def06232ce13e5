import fc from "fast-check";
import { describe, expect, it } from "vitest";
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
import { accessShape, exceptionShape } from "../../../src/sidecars/supervise/arguments.ts";
import { EGRESS_DENIALS, GIT_DENIALS } from "../../../src/sidecars/supervise/denials.ts";
import { explain } from "../../../src/sidecars/supervise/explain.ts";

const CAPABILITIES: Capabilities = {
  routes: [{ host: "*.x.test", matches: [{ methods: ["GET"] }], authenticated: true }],
  repos: [{ name: "app", refs: [{ pattern: "refs/heads/bottle/*", force: false, delete: false }] }],
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
    const push = fc.record({ repo: text, subjects: fc.array(text, { maxLength: 60 }) });
    fc.assert(
      fc.property(
        push,
        fc.constantFrom(...(Object.keys(GIT_STATUS) as (keyof typeof GIT_STATUS)[])),
        (refused, code) => {
          const { repo, subjects } = refused;
          const { ask } = gitDenial(gitRefuse(code, "no", "rule", { subjects }), {
            action: "push",
            repo,
          }).denied;
          expect(exceptionShape.safeParse(ask.arguments).success).toBe(true);
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

  it("of a forced push give the call that helps, which is not the denial's", () => {
    const { denied } = gitDenial(gitRefuse("force-not-allowed", "no", "force"), {
      action: "push",
      repo: "app",
      what: ["refs/heads/bottle/a", "refs/heads/bottle/b"],
    });
    expect(explain(denied, CAPABILITIES)?.["call"]).toEqual({
      tool: "request_access",
      arguments: { repository: "app", refs: ["refs/heads/bottle/a", "refs/heads/bottle/b"], force: true },
    });
  });

  it("give no call where none would be taken", () => {
    const cut = { tool: "request_access", arguments: { host: "10.0.0.1" } };
    expect(explain({ code: "host-not-allowed", ask: cut }, CAPABILITIES)).not.toHaveProperty("call");
    expect(explain({ code: "upstream-tls", ask: cut }, CAPABILITIES)).not.toHaveProperty("call");
    expect(explain({ code: "__proto__" }, CAPABILITIES)).toBeUndefined();
    expect(explain({ code: "nonsense" }, CAPABILITIES)).toBeUndefined();
  });
});
