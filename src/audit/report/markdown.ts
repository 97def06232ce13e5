/**
 * A report as Markdown. Data stands in code spans, where no markup, link, picture or HTML begins; the two characters
 * that could end one, a backtick and the bar of a table, are written as {@link printable} writes what cannot be shown.
 */
import type { Cell, Page, Section } from "./page.ts";

export function markdownOf({ bottle, verdict, facts, sections }: Page): string {
  const lines = [
    `# Bottle ${code(bottle)}`,
    "",
    `${verdict.sound ? "The log is" : "**Mind: the log is**"} ${verdict.text}. All times are UTC. What stands in \`code\` is data: some of it the agent, or a server, chose.`,
    "",
    ...verdict.problems.map((problem) => `- ${code(problem)}`),
    ...(verdict.problems.length > 0 ? [""] : []),
    "| | |",
    "|---|---|",
    ...facts.map(([name, value]) => `| ${name} | ${cell(value)} |`),
    ...sections.flatMap(sectionLines),
  ];
  return `${lines.join("\n")}\n`;
}

function sectionLines({ title, columns, rows, empty, omitted }: Section): readonly string[] {
  const head = ["", `## ${title}`, ""];
  if (rows.length === 0) return [...head, empty];
  return [
    ...head,
    `| ${columns.join(" | ")} |`,
    `|${columns.map(() => "---|").join("")}`,
    ...rows.map((row) => `| ${row.map(cell).join(" | ")} |`),
    ...(omitted > 0 ? ["", `And ${omitted} more.`] : []),
  ];
}

function cell(value: Cell): string {
  return typeof value === "string" ? code(value) : value.own;
}

function code(text: string): string {
  const safe = text.trim().replaceAll("`", "\\u{60}").replaceAll("|", "\\u{7c}");
  return safe === "" ? "" : `\`${safe}\``;
}
