/** The little of TOML that a configuration takes which is written whole: texts, truths, numbers, and tables of them. */

type TomlScalar = string | number | boolean;

export interface TomlTable {
  readonly [key: string]: TomlScalar | TomlTable;
}

/** What is no table comes first, as TOML wants it. */
export function tomlText(table: TomlTable, path: readonly string[] = []): string {
  const scalars: string[] = [];
  const tables: string[] = [];
  for (const [key, value] of Object.entries(table)) {
    if (typeof value === "object") tables.push(tomlText(value, [...path, key]));
    else scalars.push(`${keyText(key)} = ${typeof value === "string" ? stringText(value) : String(value)}\n`);
  }
  const head = path.length > 0 && scalars.length > 0 ? [`[${path.map(keyText).join(".")}]\n`] : [];
  return [...head, ...scalars, ...tables].join("");
}

function keyText(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : stringText(key);
}

/** JSON's escapes are TOML's. DEL is a control character for TOML alone; half of a pair is no character to it. */
function stringText(text: string): string {
  return JSON.stringify(Buffer.from(text).toString()).replaceAll("\x7f", "\\u007f");
}
