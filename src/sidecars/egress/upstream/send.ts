/** One HTTP/1.1 request over a socket that was dialled, or pooled, for exactly it. */
import { Agent, ClientRequest, type RequestOptions } from "node:http";
import type { Socket } from "node:net";
import { LIMITS } from "../limits.ts";

interface HandoverOptions extends RequestOptions {
  readonly handover: Socket;
}

/** Node asks its agent for a socket: this one has the right one already, and keeps none. */
class Handover extends Agent {
  addRequest(request: ClientRequest, options: HandoverOptions): void {
    request.onSocket(options.handover);
  }
}

const agent = new Handover({ keepAlive: true });

export interface Message {
  readonly method: string;
  readonly path: string;
  /** Flat; written as they are. Secret. */
  readonly headers: string[];
}

/** @throws Error when node would not write such a request. */
export function send(socket: Socket, { method, path, headers }: Message): ClientRequest {
  const options: HandoverOptions = {
    agent,
    handover: socket,
    protocol: "http:",
    method,
    path,
    headers,
    setHost: false,
    maxHeaderSize: LIMITS.responseHeadBytes,
    insecureHTTPParser: false,
  };
  const request = new ClientRequest(options);
  // Node would leave out, without a word, what exceeds its count; the size is bounded anyway.
  request.maxHeadersCount = 0;
  return request;
}
