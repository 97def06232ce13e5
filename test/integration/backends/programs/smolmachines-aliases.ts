/** Takes every loopback address that there is for bottles, one too many, and one that was given back. */
import { writeFileSync } from "node:fs";
import { ALIASES, takeAlias } from "../../../../src/backends/smolmachines/alias.ts";
import { messageOf } from "../../../../src/lib/errors.ts";
import { createScope } from "../../../../src/lib/scope.ts";
import { outerArguments } from "../../../support/outer-network.ts";

export interface AliasesReport {
  readonly taken: readonly string[];
  readonly refused: string;
  /** Once the third was given back. */
  readonly again: string;
}

const { resultFile } = outerArguments();
const scopes = ALIASES.map(() => createScope());
const taken = await Promise.all(scopes.map((scope) => takeAlias(scope)));
const refused = await takeAlias(createScope()).then(() => "it was not", messageOf);
await scopes[taken.indexOf("127.0.0.18")]?.close();
const again = await takeAlias(createScope());
writeFileSync(resultFile, JSON.stringify({ taken, refused, again } satisfies AliasesReport));
process.exit(0);
