/**
 * Writing git's configuration format. Contract: a value is one value. A name or an address that brings a line
 * break would otherwise bring a section, and sections name programs that git runs.
 */
import { UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";

export interface ConfigSection {
  readonly name: string;
  /** As in `[remote "origin"]`. */
  readonly subsection?: string;
  readonly values: readonly (readonly [key: string, value: string])[];
}

const SECTION_NAME = /^[A-Za-z0-9.-]+$/;
const KEY_NAME = /^[A-Za-z][A-Za-z0-9-]*$/;
const CONTROL = /[\u0000-\u001f\u007f]/;

/** @throws UserError when a subsection or value holds a control character. */
export function renderGitConfig(sections: readonly ConfigSection[]): string {
  return sections
    .filter(({ values }) => values.length > 0)
    .map(({ name, subsection, values }) => {
      if (!SECTION_NAME.test(name)) throw new Error(`no section name: ${name}`);
      const heading = subsection === undefined ? `[${name}]` : `[${name} ${quoted(subsection)}]`;
      return [heading, ...values.map(([key, value]) => `\t${keyOf(key)} = ${quoted(value)}`)].join("\n");
    })
    .join("\n")
    .concat("\n");
}

function keyOf(key: string): string {
  if (!KEY_NAME.test(key)) throw new Error(`no key: ${key}`);
  return key;
}

function quoted(text: string): string {
  if (CONTROL.test(text)) {
    throw new UserError(`a git setting contains a control character: ${printable(text)}`, {
      hint: "write it on one line, without tabs or escapes",
    });
  }
  return `"${text.replace(/[\\"]/g, "\\$&")}"`;
}
