/** A plain HTTP exchange with one of the bottle's own parts. */
import { type RequestOptions, request } from "node:http";
import { judgeHttp } from "./answer.ts";
import { got, refused } from "./verdict.ts";

/** Who is there and says nothing for so long is taken for nobody. */
const SILENCE_MS = 8_000;

export interface Answered {
  readonly status: number;
  /** Head and body. */
  readonly text: string;
  readonly ms: number;
}

/** Ends the program when nobody answers. `path` in the options is sent as it is written. */
export function ask(url: string | URL, options: RequestOptions, body?: string): Promise<Answered> {
  const from = performance.now();
  return new Promise((resolve) => {
    const sent = request(url, options, (response) => {
      const status = response.statusCode ?? 0;
      const head = Object.entries(response.headers).map(([name, value]) => `${name}: ${value}`);
      let text = `HTTP/1.1 ${status}\n${head.join("\n")}\n\n`;
      response.on("data", (chunk) => {
        text += String(chunk);
      });
      response.on("end", () => resolve({ status, text, ms: performance.now() - from }));
    });
    sent.setTimeout(SILENCE_MS, () => sent.destroy(new Error("silence")));
    sent.on("error", (error: NodeJS.ErrnoException) => refused(error.code ?? error.message));
    sent.end(body);
  });
}

/** Whoever is served got through, whatever it is that he was served. */
export function judgeAnswer({ status, text, ms }: Answered): never {
  return status === 200 ? got("it answered") : judgeHttp(text, { ms });
}
