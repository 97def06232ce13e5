/**
 * The floor plan of src/: a floor imports only floors below it.
 * To add a floor, put its folder where it belongs in this list, highest first.
 */
const floors = [
  "cli",
  "attack",
  "keeper",
  "backends",
  "bundle",
  "provision",
  "image",
  "engine",
  "plan",
  "providers",
  "manifest",
  "sidecars",
  "inspect",
  "approvals",
  "audit",
  "jail",
  "contract",
  "lib",
];

/** Floors that run in another process (a sidecar) see only these. */
const sidecarMayImport = ["inspect", "approvals", "contract", "lib"];

const upward = floors.map((floor, i) => ({
  name: `floor-${floor}-imports-only-downwards`,
  severity: "error",
  from: { path: `^src/${floor}/` },
  to: { path: `^src/(${floors.slice(0, i).join("|") || "$none"})/` },
}));

module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "every-folder-is-a-floor",
      severity: "error",
      from: {},
      to: { path: "^src/", pathNot: `^src/(${floors.join("|")})/` },
    },
    ...upward,
    {
      name: "a-sidecar-is-a-program-of-its-own",
      severity: "error",
      from: { path: "^src/sidecars/([^/]+)/" },
      to: { path: "^src/", pathNot: `^src/(sidecars/$1|${sidecarMayImport.join("|")})/` },
    },
    {
      name: "nobody-reaches-into-a-sidecar",
      comment:
        "The cli starts a sidecar by its one exported entry; everybody else talks to it over its messages.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(sidecars|cli)/" },
      to: { path: "^src/sidecars/" },
    },
    {
      name: "backends-do-not-know-each-other",
      severity: "error",
      from: { path: "^src/backends/([^/]+)/" },
      to: { path: "^src/backends/[^/]+/", pathNot: "^src/backends/$1/" },
    },
    {
      name: "src-never-imports-tests",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^(test|bench)/" },
    },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default"],
    },
  },
};
