/**
 * What the agent is told to run inside its bottle: a small program, in nothing but Node, that looks around
 * and prints one JSON line a finding. It is part of the demo's workspace, so it arrives the way any file does.
 */
export const PROBE_FILE = "look-around.mjs";

export const PROBE_SOURCE = `import { lookup } from "node:dns/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";

const [allowed, denied, hostPort] = process.argv.slice(2);
const say = (check, outcome, from) =>
  console.log(JSON.stringify({ check, outcome, milliseconds: Math.round(performance.now() - from) }));

/** GET https://host/ through the proxy of the environment. */
function get(host) {
  const proxy = new URL(process.env.HTTPS_PROXY);
  return new Promise((resolve, reject) => {
    const tunnel = request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: host + ":443" });
    tunnel.on("error", reject);
    tunnel.on("response", (response) => resolve({ status: response.statusCode, denied: response.headers["x-bottle-denied"] }));
    tunnel.on("connect", (response, socket) => {
      if (response.statusCode !== 200) {
        socket.destroy();
        resolve({ status: response.statusCode, denied: response.headers["x-bottle-denied"] });
        return;
      }
      const tls = connectTls({ socket, servername: host }, () => {
        const inner = request({ host, path: "/", headers: { host }, createConnection: () => tls }, (answer) => {
          answer.resume();
          answer.on("end", () => resolve({ status: answer.statusCode, denied: answer.headers["x-bottle-denied"] }));
        });
        inner.on("error", reject);
        inner.end();
      });
      tls.on("error", reject);
    });
    tunnel.end();
  });
}

function reach(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.setTimeout(3000, () => socket.destroy(Object.assign(new Error("timeout"), { code: "timeout" })));
    socket.on("connect", () => (socket.destroy(), resolve("reached")));
    socket.on("error", (error) => resolve(error.code));
  });
}

let from = performance.now();
say("environment", process.env, from);
from = performance.now();
say("allowed", await get(allowed).catch((error) => String(error)), from);
from = performance.now();
say("denied", await get(denied).catch((error) => String(error)), from);
from = performance.now();
say("direct", await reach("1.1.1.1", 443), from);
from = performance.now();
say("dns", await lookup("example.com").then(() => "resolved", (error) => error.code), from);
from = performance.now();
say("host-loopback", await reach("127.0.0.1", Number(hostPort)), from);
`;
