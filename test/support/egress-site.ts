/** A site behind egress that says what reached it, for tests of what must not. */
import type { IncomingMessage } from "node:http";
import { afterEach, beforeAll } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../demo/upstreams/certificate-authority.ts";
import type { EgressPolicy } from "../../src/contract/sidecar.ts";
import { denialIn, policyOf, type RouteOptions, route, type TestEgress, testEgress } from "./egress.ts";
import { httpsUpstream, httpUpstream } from "./tls-upstream.ts";

export interface Reached {
  readonly method: string;
  readonly url: string;
  readonly host: string;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

export interface Site {
  readonly egress: TestEgress;
  /** What it was started with. */
  readonly policy: EgressPolicy;
  /** Whole requests that the site got. */
  readonly reached: readonly Reached[];
  /** Names that egress asked the resolver for. */
  readonly resolved: readonly string[];
  /** Where the site is. */
  readonly port: number;
}

export interface SiteOptions {
  /** Every one leads to the site. */
  readonly hosts: readonly [string | RouteOptions, ...(string | RouteOptions)[]];
  readonly scheme?: "http" | "https";
  readonly options?: Parameters<typeof testEgress>[1];
  /** What the site says; default `reached`. */
  readonly answer?: (request: IncomingMessage) => Answer;
}

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** Call it in a test file; what it starts ends with each test. */
export function sites(): { serve(options: SiteOptions): Promise<Site> } {
  let root: CertificateAuthority;
  const closing: (() => unknown)[] = [];
  beforeAll(async () => {
    root = await makeCertificateAuthority("test root");
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  return {
    async serve({ hosts, scheme = "https", options, answer = (): Answer => ({}) }) {
      const reached: Reached[] = [];
      const resolved: string[] = [];
      const routes = hosts.map((each) => (typeof each === "string" ? { host: each } : each));
      const [first, ...others] = hosts.map((each) => (typeof each === "string" ? each : each.host));
      const listener: Parameters<typeof httpUpstream>[0] = (request, response) => {
        const chunks: Buffer[] = [];
        request.on("error", () => {});
        request.on("data", (chunk: Buffer) => chunks.push(chunk));
        request.on("end", () => {
          const { method = "", url = "", headers, rawHeaders } = request;
          const body = Buffer.concat(chunks).toString("latin1");
          reached.push({ method, url, host: headers.host ?? "", rawHeaders, body });
          const said = answer(request);
          response.writeHead(said.status ?? 200, said.headers).end(said.body ?? "reached");
        });
      };
      const upstream =
        scheme === "http"
          ? await httpUpstream(listener)
          : await httpsUpstream(await root.issue([first ?? "", ...others]), listener);
      const connectTo = { host: "127.0.0.1", port: upstream.port };
      const policy = policyOf({
        routes: routes.map((each) => route({ connectTo, ...each })),
        upstreamCa: [root.certificate],
      });
      const egress = await testEgress(policy, {
        resolve: (host) => {
          resolved.push(host);
          return Promise.resolve(["127.0.0.1"]);
        },
        ...options,
      });
      closing.push(
        () => upstream.close(),
        () => egress.stop(),
      );
      return { egress, policy, reached, resolved, port: upstream.port };
    },
  };
}

/** The denial's code in a raw answer, or its status line when it is no denial; empty when nothing came. */
export function codeOfRaw(answer: string): string {
  const [head = "", body = ""] = answer.split("\r\n\r\n");
  const code = /^x-bottle-denied: (.*)$/im.exec(head)?.[1];
  if (code === undefined) return head.split("\r\n")[0] ?? "";
  return denialIn(body).code === code ? code : `the body does not say ${code}`;
}
