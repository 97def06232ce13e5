/** What npm's complaint means to the operator, and what to do about it. */
import { UserError } from "../lib/errors.ts";
import type { PinnedPackage } from "./pinned-package.ts";

interface Complaint {
  readonly pattern: RegExp;
  readonly meaning: string;
  readonly hint: string;
}

/** The first that matches wins. Codes are npm's and Node's own. */
const COMPLAINTS: readonly Complaint[] = [
  {
    pattern: /\bnpm: ENOENT\b/,
    meaning: "npm was not found",
    hint: "install Node.js together with npm (https://nodejs.org), or put npm on the PATH",
  },
  {
    pattern: /\bENOSPC\b/,
    meaning: "the disk is full",
    hint: "free some space (npm's own cache: `npm cache clean --force`), or set BOT_BOTTLE_CACHE to a larger disk",
  },
  {
    pattern: /\bEINTEGRITY\b/,
    meaning: "the download did not match the registry's own checksum",
    hint: "run `npm cache verify`, then try again",
  },
  {
    pattern: /\b(E401|E403|ENEEDAUTH)\b/,
    meaning: "your npm registry refused it",
    hint: "log in with `npm login`, or look at `npm config get registry`",
  },
  {
    pattern: /\b(E404|ETARGET|ENOVERSIONS)\b/,
    meaning: "your npm registry does not have it",
    hint: "look at `npm config get registry`; a mirror may have to be told to bring this package",
  },
  {
    pattern:
      /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|FETCH_ERROR|ENOTCACHED|E5\d\d)\b|did not end within/,
    meaning: "your npm registry could not be reached",
    hint: "check the network and `npm config get registry`, then try again",
  },
  {
    pattern: /\b(SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_[A-Z_]+|CERT_[A-Z_]+|DEPTH_ZERO_SELF_SIGNED_CERT)\b/,
    meaning: "the certificate of your npm registry is not trusted",
    hint: "tell npm your company's root: `npm config set cafile <file.pem>`",
  },
];

const COMPLAINT_CHARACTERS = 1_000;

/** The error for an operator, from what npm wrote to its stderr. */
export function npmFailure(pin: PinnedPackage, stderr: string): UserError {
  const wanted = `${pin.name}@${pin.version}`;
  const known = COMPLAINTS.find(({ pattern }) => pattern.test(stderr));
  const said = stderr.trim().slice(0, COMPLAINT_CHARACTERS);
  if (known === undefined) {
    return new UserError(`cannot install ${pin.product}: npm pack ${wanted} failed: ${said}`, {
      hint: `run \`npm pack ${wanted} --dry-run\` to see it again`,
    });
  }
  return new UserError(`cannot install ${pin.product}: ${known.meaning} (npm pack ${wanted})`, {
    hint: known.hint,
    cause: new Error(said),
  });
}
