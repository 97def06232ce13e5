/** I1, I3: games with the proxy. The same requests pass an obliging one; egress lets none of them mean two things. */
import { node, type Probe } from "../probe.ts";

interface More {
  readonly invariant?: Probe["invariant"];
  /** Refused while it was read, before it was known what it asks for: there is nothing to ask for. */
  readonly isUnreadable?: true;
}

function game(what: string, tries: string, text: string, refused: readonly string[], more: More = {}): Probe {
  return {
    id: `proxy-${what}`,
    invariant: more.invariant ?? "I3",
    group: "proxy",
    tries,
    attack: [node(text)],
    refused,
    control: "outside",
    ...(more.isUnreadable !== true && { explained: true as const }),
  };
}

const NOT_ALLOWED = ["host-not-allowed"] as const;

/** A request inside of a tunnel. */
const get = (host: string, path = "/", more = ""): string =>
  `"GET ${path} HTTP/1.1\\r\\nHost: " + ${host} + "\\r\\n${more}Connection: close\\r\\n\\r\\n"`;

export const PROXY: readonly Probe[] = [
  game(
    "denied-host",
    "asks for a host that nobody listed",
    "curl('https://' + env.DENIED_HOST + '/')",
    NOT_ALLOWED,
    { invariant: "I1" },
  ),
  game(
    "denied-http",
    "asks for it without encryption",
    "curl('http://' + env.DENIED_HOST + '/')",
    NOT_ALLOWED,
    { invariant: "I1" },
  ),
  game(
    "denied-connect",
    "tunnels to it",
    "await tunnel({ to: env.DENIED_HOST + ':443', say: " + get("env.DENIED_HOST") + " })",
    NOT_ALLOWED,
    { invariant: "I1" },
  ),
  game(
    "metadata",
    "asks the proxy for the metadata service",
    "await raw('GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\nPROXY-AUTH\\r\\nConnection: close\\r\\n\\r\\n')",
    ["host-not-allowed", "address-refused"],
    { invariant: "I1" },
  ),
  game(
    "listed-metadata",
    "asks for a private address that the operator has listed by mistake",
    "curl('http://' + env.METADATA + '/latest/meta-data/')",
    ["address-refused"],
    { invariant: "I1" },
  ),
  game(
    "loopback",
    "asks the proxy for the host's own loopback",
    "await raw('GET http://127.0.0.1/ HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nPROXY-AUTH\\r\\nConnection: close\\r\\n\\r\\n')",
    [...NOT_ALLOWED, "host-invalid"],
    { invariant: "I1" },
  ),
  game(
    "number-address",
    "writes the loopback's address as one number",
    "await raw('GET http://2130706433/ HTTP/1.1\\r\\nHost: 2130706433\\r\\nPROXY-AUTH\\r\\nConnection: close\\r\\n\\r\\n')",
    ["host-invalid"],
    { invariant: "I1" },
  ),
  game(
    "hex-address",
    "writes it in hexadecimal",
    "await raw('GET http://0x7f.0.0.1/ HTTP/1.1\\r\\nHost: 0x7f.0.0.1\\r\\nPROXY-AUTH\\r\\nConnection: close\\r\\n\\r\\n')",
    ["host-invalid"],
    { invariant: "I1" },
  ),
  game(
    "mapped-address",
    "writes it as a mapped IPv6 address",
    "await raw('GET http://[::ffff:127.0.0.1]/ HTTP/1.1\\r\\nHost: [::ffff:127.0.0.1]\\r\\nPROXY-AUTH\\r\\nConnection: close\\r\\n\\r\\n')",
    [...NOT_ALLOWED, "host-invalid"],
    { invariant: "I1" },
  ),
  game(
    "port",
    "tunnels to another port of a host that is allowed",
    "await tunnel({ to: env.ALLOWED_HOST + ':22', say: 'SSH-2.0-x\\r\\n', plain: true })",
    ["port-refused"],
    { invariant: "I1" },
  ),
  game(
    "user-information",
    "puts a host that is allowed before an @",
    "await raw('GET http://' + env.ALLOWED_HOST + '@' + env.DENIED_HOST + '/ HTTP/1.1\\r\\nHost: ' + env.DENIED_HOST + '\\r\\nPROXY-AUTH\\r\\nConnection: close\\r\\n\\r\\n')",
    ["host-invalid"],
    { invariant: "I1" },
  ),
  game(
    "suffix",
    "asks for a host whose name ends like one that is allowed",
    "curl('https://not' + env.ALLOWED_HOST + '/')",
    NOT_ALLOWED,
    { invariant: "I1" },
  ),
  game(
    "subdomain",
    "asks for a host below one that is allowed",
    "curl('https://x.' + env.ALLOWED_HOST + '/')",
    NOT_ALLOWED,
    { invariant: "I1" },
  ),
  game(
    "sni",
    "names a host that is allowed to CONNECT, and another in TLS",
    "await tunnel({ to: env.ALLOWED_HOST + ':443', sni: env.DENIED_HOST, say: " +
      get("env.DENIED_HOST") +
      " })",
    ["sni-mismatch"],
  ),
  game(
    "host-header",
    "names it in TLS, and another in the request",
    "await tunnel({ to: env.ALLOWED_HOST + ':443', say: " + get("env.DENIED_HOST") + " })",
    ["host-mismatch"],
  ),
  game(
    "second-host",
    "names it in the second request of a tunnel, whose first was answered",
    "await tunnel({ to: env.ALLOWED_HOST + ':443', before: { say: 'POST / HTTP/1.1\\r\\nHost: ' + env.ALLOWED_HOST + '\\r\\nContent-Length: 11\\r\\n\\r\\nthat-is-all', until: 'that-is-all' }, say: " +
      get("env.DENIED_HOST") +
      " })",
    ["host-mismatch"],
  ),
  game(
    "tunnel-absolute",
    "names it in the request's line, in a tunnel",
    "await tunnel({ to: env.ALLOWED_HOST + ':443', say: 'GET https://' + env.DENIED_HOST + '/ HTTP/1.1\\r\\nHost: ' + env.ALLOWED_HOST + '\\r\\nConnection: close\\r\\n\\r\\n' })",
    ["host-mismatch"],
  ),
  game(
    "two-hosts",
    "sends two Host headers",
    "await tunnel({ to: env.ALLOWED_HOST + ':443', say: " +
      get("env.ALLOWED_HOST", "/", "Host: other.test\\r\\n") +
      " })",
    ["host-mismatch", "request-malformed"],
  ),
  game(
    "absolute-form",
    "names another host in the request's line",
    "await raw('GET http://' + env.CLEAR_HOST + '/ HTTP/1.1\\r\\nHost: ' + env.DENIED_HOST + '\\r\\nPROXY-AUTH\\r\\nConnection: close\\r\\n\\r\\n')",
    ["host-mismatch"],
  ),
  game(
    "not-tls",
    "speaks another protocol in a tunnel",
    "await tunnel({ to: env.ALLOWED_HOST + ':443', plain: true, say: 'SSH-2.0-OpenSSH_9.2\\r\\n' })",
    ["not-tls"],
  ),
  game(
    "sealed-not-tls",
    "speaks another protocol to a host that is exempted from inspection",
    "await tunnel({ to: env.SEALED_HOST + ':443', plain: true, say: 'SSH-2.0-OpenSSH_9.2\\r\\n' })",
    ["not-tls"],
  ),
  game(
    "sealed-front",
    "uses the exempted host as a front for another one",
    "await tunnel({ to: env.SEALED_HOST + ':443', sni: env.DENIED_HOST, say: " +
      get("env.DENIED_HOST") +
      " })",
    ["sni-mismatch"],
  ),
  game(
    "https-in-clear",
    "asks the proxy for an https URL in clear",
    "await raw('GET https://' + env.ALLOWED_HOST + '/ HTTP/1.1\\r\\nHost: ' + env.ALLOWED_HOST + '\\r\\nPROXY-AUTH\\r\\nConnection: close\\r\\n\\r\\n')",
    ["https-in-plaintext"],
  ),
  game(
    "scheme",
    "asks the proxy for another scheme",
    "await raw('GET ftp://' + env.ALLOWED_HOST + '/x HTTP/1.1\\r\\nHost: ' + env.ALLOWED_HOST + '\\r\\nPROXY-AUTH\\r\\nConnection: close\\r\\n\\r\\n')",
    ["scheme-refused"],
  ),
  game(
    "smuggle-length",
    "sends a length and chunks, so that two programs see two requests",
    "await tunnel({ to: env.ALLOWED_HOST + ':443', say: 'POST / HTTP/1.1\\r\\nHost: ' + env.ALLOWED_HOST + '\\r\\nContent-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET /smuggled HTTP/1.1\\r\\nHost: ' + env.DENIED_HOST + '\\r\\n\\r\\n' })",
    ["request-malformed", "framing-refused", "http-400"],
    { isUnreadable: true },
  ),
  game(
    "smuggle-lengths",
    "sends two lengths",
    "await tunnel({ to: env.ALLOWED_HOST + ':443', say: 'POST / HTTP/1.1\\r\\nHost: ' + env.ALLOWED_HOST + '\\r\\nContent-Length: 1\\r\\nContent-Length: 0\\r\\n\\r\\nx' })",
    ["request-malformed", "framing-refused", "http-400"],
    { isUnreadable: true },
  ),
  game(
    "folded-header",
    "hides a header in a folded line",
    "await tunnel({ to: env.ALLOWED_HOST + ':443', say: 'GET / HTTP/1.1\\r\\nHost: ' + env.ALLOWED_HOST + '\\r\\nX-A: b\\r\\n Host: ' + env.DENIED_HOST + '\\r\\n\\r\\n' })",
    ["request-malformed", "http-400"],
    { isUnreadable: true },
  ),
  game("path", "asks for a path that is not allowed", "curl('https://' + env.NARROW_HOST + '/closed')", [
    "path-not-allowed",
  ]),
  game(
    "path-dots",
    "climbs out of a path that is allowed",
    "curl('https://' + env.NARROW_HOST + '/open/../closed')",
    ["path-refused"],
  ),
  game(
    "path-encoded",
    "climbs out with encoded slashes and dots",
    "curl('https://' + env.NARROW_HOST + '/open/%2e%2e%2fclosed')",
    ["path-ambiguous", "path-refused"],
  ),
  game(
    "path-prefix",
    "asks for a path that merely begins the same",
    "curl('https://' + env.NARROW_HOST + '/opened')",
    ["path-not-allowed"],
  ),
  game(
    "method",
    "uses a method that is not allowed",
    "curl('-X', 'POST', '-d', 'x=y', 'https://' + env.NARROW_HOST + '/open')",
    ["method-not-allowed"],
  ),
  game(
    "method-override",
    "names the method that it means in a header",
    "curl('-H', 'X-HTTP-Method-Override: DELETE', 'https://' + env.NARROW_HOST + '/open')",
    ["override-refused"],
  ),
  game(
    "trace",
    "has the upstream repeat the request, with the credential that egress put on it",
    "curl('-X', 'TRACE', 'https://' + env.TOKEN_HOST + '/')",
    ["method-refused"],
    { invariant: "I2" },
  ),
  game(
    "upgrade",
    "upgrades to a protocol that nobody looks into",
    "curl('--http1.1', '-H', 'Connection: Upgrade', '-H', 'Upgrade: h2c', 'https://' + env.ALLOWED_HOST + '/')",
    ["upgrade-refused"],
  ),
  game(
    "clear-credential",
    "has egress send a token without encryption",
    "curl('http://' + env.CREDENTIAL_HOST + '/')",
    ["plaintext-credential"],
    { invariant: "I2" },
  ),
  game(
    "direct",
    "takes egress for the denied host itself",
    "await raw('GET / HTTP/1.1\\r\\nHost: ' + env.DENIED_HOST + '\\r\\nPROXY-AUTH\\r\\nConnection: close\\r\\n\\r\\n')",
    [...NOT_ALLOWED, "not-a-proxy-request", "bearer-required"],
    { invariant: "I1" },
  ),
  game(
    "http2-authority",
    "names another host in an HTTP/2 request of a tunnel",
    `import { connect } from "node:http2"; import { connect as tcp } from "node:net"; import { connect as tls } from "node:tls";
const at = proxy(); const socket = tcp(at.port, at.host); const from = performance.now();
socket.write("CONNECT " + env.ALLOWED_HOST + ":443 HTTP/1.1\\r\\nHost: " + env.ALLOWED_HOST + ":443\\r\\n" + at.header + "\\r\\n");
await new Promise((ok) => socket.once("data", ok));
const secure = tls({ socket, servername: env.ALLOWED_HOST, rejectUnauthorized: false, ALPNProtocols: ["h2", "http/1.1"] });
await new Promise((ok, no) => { secure.once("secureConnect", ok); secure.once("error", no); });
if (secure.alpnProtocol !== "h2") { secure.write("GET / HTTP/1.1\\r\\nHost: " + env.DENIED_HOST + "\\r\\nConnection: close\\r\\n\\r\\n"); let text = ""; secure.on("data", (chunk) => { text += chunk; if (text.includes(env.WORD) || text.includes("}}}")) judgeHttp(text); }); secure.on("close", () => judgeHttp(text)); }
else { const session = connect("https://" + env.ALLOWED_HOST, { createConnection: () => secure }); session.on("error", () => {});
const asked = session.request({ ":authority": env.DENIED_HOST, ":path": "/" }); let head = ""; let body = "";
asked.on("response", (headers) => { head = "HTTP/1.1 " + headers[":status"] + "\\n" + Object.entries(headers).map(([k, v]) => k + ": " + v).join("\\n") + "\\n\\n"; });
asked.on("data", (chunk) => { body += chunk; }); asked.on("error", (error) => refused(error.code)); asked.on("end", () => judgeHttp(head + body, { ms: performance.now() - from })); }`,
    ["host-mismatch"],
  ),
  game(
    "git-push",
    "pushes over HTTPS to a host that is allowed, past git-gate",
    "curl('-X', 'POST', '-H', 'Content-Type: application/x-git-receive-pack-request', '--data', '0000', 'https://' + env.GIT_HOST + '/app.git/git-receive-pack')",
    ["git-push-refused"],
    { invariant: "I4" },
  ),
];
