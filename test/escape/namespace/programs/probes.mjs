/**
 * Runs inside a guest, and outside of it for the control: tries each thing that it is told to, and prints what came of
 * it as one JSON object. Plain JavaScript without a library, because that is what a guest has.
 */
import { createSocket } from "node:dgram";
import { lookup, Resolver } from "node:dns/promises";
import { constants, openSync, readdirSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { connect } from "node:net";

const TIMEOUT_MS = 2_000;

/** Somebody who is there says something first. */
function hear(socket) {
  return new Promise((resolve) => {
    const settle = (outcome) => {
      socket.destroy();
      resolve(outcome);
    };
    socket.setTimeout(TIMEOUT_MS, () => settle("timeout"));
    socket.on("error", (error) => settle(error.code));
    socket.on("close", () => settle("closed"));
    socket.on("data", (data) => settle(`heard ${data.toString().trim()}`));
  });
}

function hearUdp(host, port) {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    let settled = false;
    const settle = (outcome) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      socket.close();
      resolve(outcome);
    };
    const timer = setTimeout(() => settle("timeout"), TIMEOUT_MS);
    socket.on("error", (error) => settle(error.code));
    socket.on("message", (message) => settle(`heard ${message}`));
    socket.connect(port, host, (error) => (error ? settle(error.code) : socket.send("hello")));
  });
}

async function ask(name, server) {
  const resolver = new Resolver({ timeout: 1_000, tries: 1 });
  resolver.setServers([server]);
  return `heard ${(await resolver.resolve4(name)).join()}`;
}

/** Some files of the kernel's are endless, and some wait. */
function peek(path) {
  const buffer = Buffer.alloc(4096);
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return buffer.subarray(0, readSync(fd, buffer)).toString("latin1");
}

function write(path) {
  // An absolute path that is there (a setting of the kernel's) is written as it is, with what it holds.
  const existing = path.startsWith("/proc/");
  if (!existing) {
    writeFileSync(path, "written from inside\n");
    return "written";
  }
  const fd = openSync(path, "r+");
  writeSync(fd, peek(path));
  return "written";
}

const KINDS = {
  tcp: ({ host, port }) => hear(connect({ host, port })),
  udp: ({ host, port }) => hearUdp(host, port),
  unix: ({ path }) => hear(connect({ path: path.replace(/^@/, "\0") })),
  resolve: ({ name, server }) => ask(name, server),
  lookup: async ({ name }) => `heard ${(await lookup(name)).address}`,
  read: ({ path }) => `read ${peek(path)}`,
  list: ({ path }) => `listed ${readdirSync(path).join()}`,
  write: ({ path }) => write(path),
};

const probes = JSON.parse(readFileSync(0, "utf8"));
const outcomes = await Promise.all(
  probes.map(async (probe) => {
    try {
      return await KINDS[probe.kind](probe);
    } catch (error) {
      return error.code ?? String(error);
    }
  }),
);
console.log(JSON.stringify(outcomes));
process.exit(0);
