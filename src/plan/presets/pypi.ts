/** Python's package indexes, as pip and uv know them. */
import type { Route } from "../../contract/policy.ts";
import { credentialWarning, type Place, placeOf, reading, routeTo } from "./place.ts";
import { DEFAULT_SOURCE, type Expansion, filesOf, type OperatorSetup } from "./setup.ts";

const DEFAULT = "https://pypi.org/simple";
const FILES_HOST = "files.pythonhosted.org";

export function pypi(setup: OperatorSetup): Expansion {
  const index = setting(setup, "index-url");
  const extra = setting(setup, "extra-index-url");
  const what = (key: string, from: string): string => `the ${key} of ${from}`;
  const main = index && placeOf(index.value, what("index-url", index.from));
  const extras = (extra?.value.split(/\s+/) ?? [])
    .filter((text) => text !== "")
    .map((text) => placeOf(text, what("extra-index-url", extra?.from ?? "")));
  const places = [main ?? placeOf(DEFAULT, "PyPI"), ...extras];
  return {
    from: [...new Set([index?.from ?? DEFAULT_SOURCE, ...(extra === undefined ? [] : [extra.from])])].join(
      ", ",
    ),
    routes: places.flatMap(routesOf),
    env: {
      ...(main === undefined ? {} : { PIP_INDEX_URL: main.guestUrl, UV_DEFAULT_INDEX: main.guestUrl }),
      ...(extras.length === 0
        ? {}
        : {
            PIP_EXTRA_INDEX_URL: extras.map(({ guestUrl }) => guestUrl).join(" "),
            UV_INDEX: extras.map(({ guestUrl }) => guestUrl).join(" "),
          }),
    },
    files: [],
    warnings: places
      .filter(({ hadCredential }) => hadCredential)
      .map(({ host }) => credentialWarning("pypi", host)),
  };
}

/** PyPI's files are on a host of their own; elsewhere they are beside the index. */
function routesOf(place: Place): readonly Route[] {
  if (place.host === "pypi.org") {
    return [
      routeTo(place, [reading(["/simple", "/pypi"])]),
      routeTo({ host: FILES_HOST }, [reading(["/packages"])]),
    ];
  }
  const above = place.path.replace(/\/(?:simple|\+simple|index)$/, "");
  return [routeTo(place, [reading([above === "" ? "/" : above])])];
}

interface Setting {
  readonly value: string;
  readonly from: string;
}

/** The variable first, then the last file that says it. */
function setting(setup: OperatorSetup, key: string): Setting | undefined {
  const variable = `PIP_${key.toUpperCase().replaceAll("-", "_")}`;
  const given = setup.env(variable);
  if (given) return { value: given, from: `$${variable}` };
  return filesOf(setup, "pip")
    .flatMap(({ text, path }) => {
      const value = pipValue(text, key);
      return value === undefined ? [] : [{ value, from: path }];
    })
    .at(-1);
}

/** A value of `[global]` or `[install]`; further lines of it are indented. */
export function pipValue(text: string, key: string): string | undefined {
  let section = "";
  let value: string | undefined;
  let within = false;
  for (const line of text.split(/\r?\n/)) {
    const header = /^\s*\[([^\]]*)\]/.exec(line);
    if (header !== null) {
      section = (header[1] ?? "").trim();
      within = false;
    } else if (/^\s*[#;]/.test(line)) {
      // A comment neither ends a value nor belongs to it.
    } else if (/^\s+\S/.test(line)) {
      if (within) value = `${value ?? ""} ${line.trim()}`.trim();
    } else {
      const entry = /^([^=:]+?)\s*[=:]\s*(.*?)\s*$/.exec(line);
      within =
        entry !== null &&
        ["global", "install"].includes(section) &&
        entry[1]?.toLowerCase().replaceAll("_", "-") === key;
      if (within) value = entry?.[2] ?? "";
    }
  }
  return value === "" ? undefined : value;
}
