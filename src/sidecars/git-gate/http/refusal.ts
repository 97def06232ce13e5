/** A denial as an answer: on lines for git, which shows plain text; in its one shape for everybody else. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { DENIAL_STATUS, denialOf, inWords, type Refusal, type Subject } from "../denial.ts";

export function answerRefusal(
  request: IncomingMessage,
  response: ServerResponse,
  refusal: Refusal,
  subject: Subject,
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const words = inWords(refusal, subject).join("\n");
  const [type, body] = bodyFor(request, words, refusal, subject);
  response.writeHead(DENIAL_STATUS[refusal.code], {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
    "x-bottle-denied": refusal.code,
    // What is left of the request is not read.
    Connection: "close",
    ...(refusal.code === "bearer-required" && { "WWW-Authenticate": 'Basic realm="bottle"' }),
  });
  response.end(body);
}

function bodyFor(
  request: IncomingMessage,
  words: string,
  refusal: Refusal,
  subject: Subject,
): readonly [type: string, body: string] {
  const agent = request.headers["user-agent"] ?? "";
  if (agent.startsWith("git/")) return ["text/plain; charset=utf-8", `${words}\n`];
  if (agent.startsWith("git-lfs/"))
    return ["application/vnd.git-lfs+json", JSON.stringify({ message: words })];
  return ["application/json", `${JSON.stringify(denialOf(refusal, subject))}\n`];
}
