/** Small programs in nothing but Node that tests put into a bottle's workspace and run there. */

/**
 * `node tunnel.mjs <json>`: opens CONNECT to `host`:`port`, sends `plain` or speaks TLS with `servername` and
 * asks for `path`, and prints as JSON what came of it: `connect`, `body`, `certificates`, `answer`, `error`, `ms`.
 */
export const TUNNEL = `
import { request } from "node:http";
import { connect } from "node:tls";
const { host, port = 443, servername = host, path = "/", plain, insecure = false } = JSON.parse(process.argv[2]);
const from = performance.now();
const done = (result) => {
  console.log(JSON.stringify({ ...result, ms: Math.round(performance.now() - from) }));
  process.exit();
};
const read = async (stream) => {
  let text = "";
  for await (const chunk of stream) text += chunk;
  return text;
};
const proxy = new URL(process.env.HTTPS_PROXY);
const tunnel = request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: host + ":" + port });
tunnel.on("error", (error) => done({ error: error.code ?? error.message }));
// What refuses CONNECT ends the connection after its answer, so the answer's body is there too.
tunnel.on("connect", async (response, socket, early) => {
  const connect_ = { status: response.statusCode, phrase: response.statusMessage, headers: response.headers };
  socket.on("error", (error) => done({ connect: connect_, error: error.code }));
  if (response.statusCode !== 200) return done({ connect: connect_, body: early + (await read(socket)) });
  if (plain !== undefined) {
    socket.write(plain);
    return done({ connect: connect_, body: await read(socket) });
  }
  const tls = connect({ socket, servername, rejectUnauthorized: !insecure }, async () => {
    const certificates = [];
    for (let one = tls.getPeerCertificate(true); one !== undefined; one = one.issuerCertificate) {
      const { subject, issuer, fingerprint256, subjectaltname } = one;
      if (certificates.some((known) => known.fingerprint256 === fingerprint256)) break;
      certificates.push({ subject, issuer, fingerprint256, subjectaltname });
    }
    tls.write("GET " + path + " HTTP/1.1\\r\\nhost: " + host + "\\r\\nconnection: close\\r\\n\\r\\n");
    done({ connect: connect_, certificates, answer: await read(tls) });
  });
  tls.on("error", (error) => done({ connect: connect_, error: error.code ?? error.message }));
});
tunnel.end();
`;

export interface Tunnelled {
  readonly connect?: {
    readonly status: number;
    readonly phrase: string;
    readonly headers: Readonly<Record<string, string>>;
  };
  readonly body?: string;
  readonly certificates?: readonly {
    readonly subject: Readonly<Record<string, string>>;
    readonly issuer: Readonly<Record<string, string>>;
    readonly fingerprint256: string;
    readonly subjectaltname: string;
  }[];
  readonly answer?: string;
  readonly error?: string;
  readonly ms: number;
}
