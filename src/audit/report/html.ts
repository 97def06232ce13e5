/**
 * A report as one HTML file that needs nothing else: no script, no picture, no font, no link. Every text is escaped;
 * a policy in its head lets a browser load and run nothing all the same, should a text get through.
 */
import { createHash } from "node:crypto";
import type { Cell, Page, Section } from "./page.ts";

const STYLE = `
:root{color-scheme:light dark;--line:#8884;--dim:#777}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}
table{border-collapse:collapse;display:block;overflow-x:auto}
th,td{border-bottom:1px solid var(--line);padding:.25rem .7rem .25rem 0;text-align:left;vertical-align:top}
th{font-weight:600;color:var(--dim);white-space:nowrap}
code{font:13px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}
.mind{border:2px solid #c33;padding:.5rem 1rem}
p,ul{max-width:60rem}
`;

export function htmlOf({ bottle, verdict, facts, sections }: Page): string {
  const hash = createHash("sha256").update(STYLE).digest("base64");
  const problems = verdict.problems.map((problem) => `<li>${data(problem)}</li>`).join("");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Bottle ${escaped(bottle)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Bottle ${data(bottle)}</h1>
<div${verdict.sound ? "" : ' class="mind"'}><p>The log is ${escaped(verdict.text)}.</p>${problems === "" ? "" : `<ul>${problems}</ul>`}</div>
<p>All times are UTC. What stands in <code>this type</code> is data: some of it the agent, or a server, chose.</p>
<table>
${facts.map(([name, value]) => `<tr><th scope="row">${escaped(name)}</th><td>${cell(value)}</td></tr>`).join("\n")}
</table>
${sections.map(sectionText).join("\n")}
</body>
</html>
`;
}

function sectionText({ title, columns, rows, empty, omitted }: Section): string {
  const head = `<h2>${escaped(title)}</h2>`;
  if (rows.length === 0) return `${head}\n<p>${escaped(empty)}</p>`;
  return [
    head,
    "<table>",
    `<thead><tr>${columns.map((name) => `<th scope="col">${escaped(name)}</th>`).join("")}</tr></thead>`,
    "<tbody>",
    ...rows.map((row) => `<tr>${row.map((value) => `<td>${cell(value)}</td>`).join("")}</tr>`),
    "</tbody>",
    "</table>",
    ...(omitted > 0 ? [`<p>And ${omitted} more.</p>`] : []),
  ].join("\n");
}

function cell(value: Cell): string {
  return typeof value === "string" ? data(value) : escaped(value.own);
}

/** Text that runs from right to left stays within its own place. */
function data(text: string): string {
  return text === "" ? "" : `<code><bdi>${escaped(text)}</bdi></code>`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? "");
}
