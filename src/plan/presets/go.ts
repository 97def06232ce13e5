/** Go's modules: the proxies of GOPROXY, and the checksum database. Never a version control host. */
import { UserError } from "../../lib/errors.ts";
import { credentialWarning, placeOf, reading, routeTo } from "./place.ts";
import { DEFAULT_SOURCE, type Expansion, filesOf, type OperatorSetup } from "./setup.ts";

const DEFAULT_PROXY = "https://proxy.golang.org,direct";
const DEFAULT_SUMS = "sum.golang.org";

export function go(setup: OperatorSetup): Expansion {
  const proxy = setting(setup, "GOPROXY");
  const sums = setting(setup, "GOSUMDB");
  const from = proxy?.from ?? DEFAULT_SOURCE;
  const entries = (proxy?.value ?? DEFAULT_PROXY).split(/[,|]/).map((entry) => entry.trim());
  const places = entries
    .filter((entry) => entry !== "" && entry !== "direct" && entry !== "off")
    .map((entry) => placeOf(entry, `the GOPROXY of ${from}`));
  if (places.length === 0) {
    throw new UserError(`your GOPROXY (${from}) names no proxy, and the preset go leads to proxies alone`, {
      hint: "take go out of egress.presets, or run bottle with GOPROXY set to a proxy's URL",
    });
  }
  const database = sumsUrl(sums?.value ?? DEFAULT_SUMS);
  return {
    from,
    routes: [
      ...places.map((place) => routeTo(place, [reading([place.path === "" ? "/" : place.path])])),
      ...(database === undefined
        ? []
        : [
            routeTo(placeOf(database, "the GOSUMDB"), [
              reading(["/supported", "/lookup", "/latest", "/tile"]),
            ]),
          ]),
    ],
    env: {
      // Always: "direct" would have go try hosts that no route leads to.
      GOPROXY: places.map(({ guestUrl }) => guestUrl.replace(/\/$/, "")).join(","),
      ...(sums === undefined ? {} : { GOSUMDB: sums.value }),
    },
    files: [],
    warnings: [
      ...(proxy !== undefined && entries.includes("direct")
        ? ["GOPROXY's direct is left out: in the bottle modules come from the proxies alone"]
        : []),
      ...places.filter(({ hadCredential }) => hadCredential).map(({ host }) => credentialWarning("go", host)),
    ],
  };
}

/** `name`, `name+key` or `name+key url`; `off` for none. */
function sumsUrl(value: string): string | undefined {
  const [name = "", url] = value.trim().split(/\s+/);
  if (name === "off") return undefined;
  return url ?? `https://${name.split("+")[0]}/`;
}

/** The variable, else what `go env -w` wrote. */
function setting(setup: OperatorSetup, name: string): { value: string; from: string } | undefined {
  const given = setup.env(name);
  if (given) return { value: given, from: `$${name}` };
  return filesOf(setup, "goenv")
    .flatMap(({ text, path }) => {
      const line = text.split(/\r?\n/).findLast((each) => each.startsWith(`${name}=`));
      const value = line?.slice(name.length + 1).trim() ?? "";
      return value === "" ? [] : [{ value, from: path }];
    })
    .at(-1);
}
