/** A request as text that the operator edits, and back. */
import { stringify } from "yaml";
import { type Ask, askSchema } from "../../contract/approvals.ts";
import { accept, type Parsed, reject } from "../../lib/parsed.ts";
import { printable } from "../../lib/printable.ts";
import { parseYaml } from "../../manifest/yaml-tree.ts";

const EXPLAINED: Readonly<Record<Ask["kind"], string>> = {
  host: "methods: [] is any method, paths: [] any path; a path is {type: exact | prefix, value: /…}",
  repository: "one * in a ref stands for one or more characters",
  environment:
    "a yes gives nothing by itself: bottle resume --with … does, with the workspace and session kept",
  finding: "detector and finding are what the denial named: there is nothing to narrow",
  "git-exception": "subjects are what the denial named: leave out those that may not pass",
};

/** Everything in an ask is on one line and without control characters: none of it can end a comment. */
export function textOfAsk(ask: Ask, described: readonly string[]): string {
  const now = described.length === 0 ? ["nothing"] : described;
  const comments = [
    "What is asked for. Change it, save it, and what it would newly allow is shown before you are asked.",
    EXPLAINED[ask.kind],
    "As it is, it would newly allow:",
    ...now.map((line) => `  ${printable(line, line.length)}`),
  ];
  return `${comments.map((line) => `# ${line}\n`).join("")}${stringify(ask, { lineWidth: 0 })}`;
}

export function askFromText(text: string): Parsed<Ask> {
  const tree = parseYaml(text, 1);
  const [problem] = tree.problems;
  if (problem !== undefined) return reject(`line ${problem.line}: ${problem.message}`);
  const parsed = askSchema.safeParse(tree.value);
  if (parsed.success) return accept(parsed.data);
  const [issue] = parsed.error.issues;
  const path = (issue?.path ?? []).map((key) => (typeof key === "number" ? key : String(key)));
  return reject(
    `line ${tree.locate(path, "value").line}: ${path.join(".") || "the request"}: ${issue?.message ?? "is not valid"}`,
  );
}
