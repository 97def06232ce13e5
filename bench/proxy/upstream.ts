/** The server behind every proxy, as a process of its own: short and long answers, uploads, events. */
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface UpstreamSetup {
  readonly certificate: string;
  readonly key: string;
}

/** Pause between two events of the stream. */
const EVENT_MS = 5;
const EVENTS = 20;
const CHUNK = Buffer.alloc(64 * 1024, "x");

process.once("message", ({ certificate, key }: UpstreamSetup) => {
  const server = createServer({ cert: certificate, key }, (request, response) => {
    const [, kind = "", size = "0"] = (request.url ?? "").split("/");
    switch (kind) {
      case "body": {
        const length = Number(size);
        response.writeHead(200, { "content-type": "application/octet-stream", "content-length": length });
        let left = length;
        const more = (): void => {
          while (left > 0) {
            const part = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
            left -= part.length;
            if (!response.write(part)) return void response.once("drain", more);
          }
          response.end();
        };
        return more();
      }
      case "upload": {
        let received = 0;
        request.on("data", (chunk: Buffer) => {
          received += chunk.length;
        });
        request.on("end", () => {
          const text = String(received);
          response.writeHead(200, { "content-length": text.length }).end(text);
        });
        return;
      }
      case "events": {
        response.writeHead(200, { "content-type": "text/event-stream" });
        let sent = 0;
        const timer = setInterval(() => {
          response.write(`data: ${sent++}\n\n`);
          if (sent === EVENTS) {
            clearInterval(timer);
            response.end();
          }
        }, EVENT_MS);
        request.on("close", () => clearInterval(timer));
        return;
      }
      default:
        response.writeHead(404).end();
    }
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
});
