/** GitHub, for reading: clones, fetches, archives, raw files, releases and what its API tells without a token. */
import type { RouteMatch } from "../../contract/policy.ts";
import { reading, routeTo } from "./place.ts";
import { DEFAULT_SOURCE, type Expansion } from "./setup.ts";

const REPOSITORY = "/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+";
const EVERYTHING = reading(["/"]);

const CLONING: readonly RouteMatch[] = [
  {
    methods: ["GET", "HEAD"],
    paths: [
      { type: "regex", value: `${REPOSITORY}/info/refs` },
      { type: "regex", value: `${REPOSITORY}/(?:archive|releases|raw|tarball|zipball)/.*` },
    ],
  },
  { methods: ["POST"], paths: [{ type: "regex", value: `${REPOSITORY}/git-upload-pack` }] },
];

export function githubRead(): Expansion {
  return {
    from: DEFAULT_SOURCE,
    routes: [
      routeTo({ host: "github.com" }, CLONING),
      routeTo({ host: "api.github.com" }, [EVERYTHING]),
      ...[
        "codeload.github.com",
        "raw.githubusercontent.com",
        // Where downloads of releases are led to.
        "objects.githubusercontent.com",
        "release-assets.githubusercontent.com",
      ].map((host) => routeTo({ host }, [EVERYTHING])),
    ],
    env: {},
    files: [],
    warnings: [],
  };
}
