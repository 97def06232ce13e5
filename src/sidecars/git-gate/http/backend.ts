/** git's own http-backend, which speaks the protocol; we are the web server in front of it. Source: git-http-backend(1). */
import type { ServerResponse } from "node:http";
import type { GitLimits } from "../../../contract/git-gate.ts";
import type { HookEnd } from "../git/hook.ts";
import type { Git, Place, Running } from "../git/run.ts";
import { LIMITS } from "../limits.ts";
import type { HeldAnswer } from "./held-answer.ts";
import type { Service } from "./target.ts";

export interface BackendRequest {
  readonly method: "GET" | "POST";
  readonly service: Service;
  readonly advertise: boolean;
  /** Of a push. */
  readonly hookEnd?: HookEnd;
  /** Git's own header; anything but a version number is dropped. */
  readonly protocol: string | undefined;
  readonly limits: Pick<GitLimits, "packBytes" | "fileBytes" | "objects">;
}

export function startBackend(git: Git, place: Place, request: BackendRequest): Running {
  const { service, advertise, method, protocol, limits, hookEnd } = request;
  const isPush = hookEnd !== undefined;
  return git.start(
    undefined,
    [...git.serving, "-c", `receive.maxInputSize=${Math.max(1, limits.packBytes)}`, "http-backend"],
    {
      cwd: place.gitDir,
      timeoutMs: LIMITS.exchangeMs + (isPush ? LIMITS.reviewMs : 0),
      channel: isPush,
      env: {
        ...(isPush && { ...hookEnd.env, GIT_ALLOC_LIMIT: String(allocationOf(limits)) }),
        // Nothing of it is the client's: which repository and which service was decided before.
        GIT_PROJECT_ROOT: place.gitDir,
        PATH_INFO: advertise ? "/info/refs" : `/${service}`,
        QUERY_STRING: advertise ? `service=${service}` : "",
        REQUEST_METHOD: method,
        CONTENT_TYPE: advertise ? "" : `application/x-${service}-request`,
        GIT_HTTP_EXPORT_ALL: "1",
        GIT_HTTP_MAX_REQUEST_BUFFER: String(LIMITS.fetchRequestBytes),
        REMOTE_USER: "bottle",
        REMOTE_ADDR: "127.0.0.1",
        SERVER_PROTOCOL: "HTTP/1.1",
        GATEWAY_INTERFACE: "CGI/1.1",
        ...(protocol !== undefined && /^version=[0-2]$/.test(protocol) && { GIT_PROTOCOL: protocol }),
      },
    },
  );
}

/** What index-pack needs for itself, and for each object. */
const BASE_BYTES = 64 * 1024 ** 2;
const OBJECT_BYTES = 128;

/** A delta of some bytes may stand for a gigabyte: what cannot be a file that may be pushed is not put together. */
function allocationOf({ fileBytes, objects }: BackendRequest["limits"]): number {
  return BASE_BYTES + fileBytes + objects * OBJECT_BYTES;
}

/** Headers that are passed on. */
const PASSED = new Set(["content-type", "cache-control", "expires", "pragma"]);

/**
 * Answers with what the backend says; of a push's answer, with what may be said already. False when it ended without
 * having said anything. The answer's head leaves with the first byte of its body.
 */
export async function relayAnswer(
  running: Running,
  response: ServerResponse,
  moved: () => void,
  answer?: HeldAnswer,
): Promise<boolean> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of running.stdout) {
    moved();
    // Answered already, with a refusal of what the client sent.
    if (response.destroyed || response.writableEnded) continue;
    let bytes = chunk as Buffer;
    if (head !== undefined) {
      head = Buffer.concat([head, bytes]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) {
        if (head.length > LIMITS.cgiHeadBytes) return false;
        continue;
      }
      writeHead(response, head.toString("latin1", 0, end));
      bytes = head.subarray(end + 4);
      head = undefined;
    }
    if (answer !== undefined) bytes = answer.pass(bytes);
    if (bytes.length > 0 && !response.write(bytes)) await drained(response);
  }
  return head === undefined;
}

function writeHead(response: ServerResponse, head: string): void {
  for (const line of head.split("\r\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === "status") response.statusCode = Number.parseInt(value, 10) || 500;
    else if (PASSED.has(name)) response.setHeader(name, value);
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
    if (response.destroyed) done();
  });
}
