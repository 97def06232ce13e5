import { describe, expect, it } from "vitest";
import type { Route } from "../../../src/contract/policy.ts";
import { pipelockPolicy, refusePipelockWith } from "../../../src/plan/pipelock.ts";

function route(host: string, more: Partial<Route> = {}): Route {
  return { host, matches: [], credentialHeaders: [], tls: "terminate", allowAddresses: [], ...more };
}

describe("what pipelock is to hold to", () => {
  it("is the routes' hosts, closed TLS, private addresses and credential headers, each once", () => {
    const auth = { header: "authorization", format: "Bearer {}", tokenRef: "T" };
    expect(
      pipelockPolicy(
        [
          route("api.test", { auth, allowAddresses: ["10.1.0.0/16"] }),
          route("api.test", { auth }),
          route("*.sealed.test", { tls: "passthrough" }),
          route("model.test", { auth: { ...auth, header: "x-api-key" } }),
        ],
        ["model.test"],
      ),
    ).toEqual({
      hosts: ["api.test", "*.sealed.test", "model.test"],
      sealed: ["*.sealed.test", "model.test"],
      addresses: ["10.1.0.0/16"],
      credentialHeaders: ["authorization", "x-api-key"],
    });
  });
});

describe("a bottle with pipelock", () => {
  it("has no other proxy besides", () => {
    const proxy = { host: "proxy.test", port: 3128, tls: false };
    expect(() => refusePipelockWith([], proxy)).toThrow("both where egress leaves through");
  });

  it.each(["127.0.0.1", "10.0.0.1", "elsewhere.test"])("has no route that leads around it, to %s", (host) => {
    expect(() => refusePipelockWith([route("a.test", { connectTo: { host, port: 1 } })], undefined)).toThrow(
      "connects to a.test itself",
    );
  });

  it("does not leave closed, for a wildcard's sake, what is to be opened", () => {
    const wide = route("*.a.test", { tls: "passthrough" });
    expect(() => refusePipelockWith([wide, route("a.test")], undefined)).toThrow(
      "takes *.a.test for a.test too",
    );
    expect(() => refusePipelockWith([wide, route("b.a.test")], undefined)).not.toThrow();
  });
});
