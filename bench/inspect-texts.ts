/** What the inspector is timed on: texts that agents really send, and the worst that a search for worse ones found. */
import { type Dirent, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { packagePath } from "../src/lib/package-root.ts";
import { random } from "../test/support/random.ts";

/** Source code as it lies in node_modules: what an agent reads and sends most. */
export function sourceCode(size: number): Buffer {
  const parts: Buffer[] = [];
  let total = 0;
  const walk = (folder: string): void => {
    const entries: Dirent[] = readdirSync(folder, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (total >= size) return;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile() && /\.(?:js|mjs|cjs|ts)$/.test(entry.name)) {
        const part = readFileSync(path);
        parts.push(part);
        total += part.length;
      }
    }
  };
  walk(packagePath("node_modules"));
  return Buffer.concat(parts).subarray(0, size);
}

export function jsonLogs(size: number): Buffer {
  const next = random(1);
  const hex = (length: number): string =>
    Array.from({ length }, () => Math.floor(next() * 16).toString(16)).join("");
  const lines: string[] = [];
  for (let total = 0, i = 0; total < size; i++) {
    const line = JSON.stringify({
      time: new Date(1.7e12 + i * 37).toISOString(),
      level: i % 9 === 0 ? "warn" : "info",
      pid: 1234 + (i % 7),
      requestId: `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`,
      traceId: hex(32),
      message: `request completed "GET" in ${i % 97} ms\n  at handler (/srv/app/routes/orders.js:${i % 400}:17)`,
      url: `/api/v1/users/${i}/orders?limit=20&offset=${i * 20}&sort=%2Dcreated`,
      duration: (i % 97) / 10,
      headers: {
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64)",
        accept: "application/json, text/plain, */*",
      },
    });
    lines.push(line);
    total += line.length + 1;
  }
  return Buffer.from(lines.join("\n")).subarray(0, size);
}

export function randomBytes(size: number): Buffer {
  const next = random(2);
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = Math.floor(next() * 256);
  return bytes;
}

/** A line of base64 that is an image or an archive. */
export function base64OfBinary(size: number): Buffer {
  return Buffer.from(randomBytes(Math.ceil(size * 0.75)).toString("base64")).subarray(0, size);
}

/** A line of base64 that is a source file, as forges' interfaces send them. */
export function base64OfText(size: number): Buffer {
  return Buffer.from(sourceCode(Math.ceil(size * 0.75)).toString("base64")).subarray(0, size);
}

export function prose(size: number): Buffer {
  const words = (
    "the of and to in a is that it was for on as with he be at by had not his but from or have an they which one " +
    "you were all her she there would their we him been has when who will no more if out so up said what its about " +
    "than into them can only other time new some could these two may first then do any like my now over such our " +
    "man me even most made after also did many off before must well back through years where much your way down"
  ).split(" ");
  const next = random(3);
  let text = "";
  while (text.length < size) {
    const length = 6 + Math.floor(next() * 18);
    const sentence = Array.from({ length }, () => words[Math.floor(next() * words.length)]).join(" ");
    text += `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}. `;
  }
  return Buffer.from(text).subarray(0, size);
}
