/** What a request asks for. Only the two services of git's smart protocol exist here, under one spelling each. */
import { type Refusal, refuse } from "../denial.ts";

export type Service = "git-upload-pack" | "git-receive-pack";

export type Target =
  | { readonly kind: "advertise" | "serve"; readonly repo: string; readonly service: Service }
  | { readonly kind: "refused"; readonly repo?: string; readonly refusal: Refusal };

/** One name, one `.git` or none; no percent sign, dot segment, second slash or anything else that could be read in two ways. */
const PATH = /^\/([A-Za-z0-9][A-Za-z0-9._-]*?)(?:\.git)?\/([A-Za-z0-9/._-]+)(?:\?([A-Za-z0-9=&._-]*))?$/;

const SERVICES: readonly string[] = ["git-upload-pack", "git-receive-pack"] satisfies Service[];

export function targetOfRequest(method: string, url: string, contentType: string | undefined): Target {
  const [, repo, path = "", query] = PATH.exec(url) ?? [];
  if (repo === undefined || repo.includes("..")) {
    return {
      kind: "refused",
      refusal: refuse("not-git", "there is no such thing here", "http://<gate>/<name>.git"),
    };
  }
  const no = (refusal: Refusal): Target => ({ kind: "refused", repo, refusal });
  if (path === "info/refs" && method === "GET") {
    const service = query?.startsWith("service=") === true ? query.slice("service=".length) : "";
    if (isService(service)) return { kind: "advertise", repo, service };
    return no(
      refuse(
        "dumb-http-refused",
        "the gate speaks git's smart protocol only; use a git that does",
        "info/refs?service=…",
      ),
    );
  }
  if (isService(path)) {
    if (method !== "POST" || query !== undefined || contentType !== `application/x-${path}-request`) {
      return no(
        refuse("request-malformed", "this is not how git asks for it", `POST application/x-${path}-request`),
      );
    }
    return { kind: "serve", repo, service: path };
  }
  if (path.startsWith("info/lfs")) {
    return no(
      refuse(
        "lfs-refused",
        "the gate does not carry Git LFS: nobody would have looked at its files",
        "no LFS",
        {},
      ),
    );
  }
  return no(refuse("dumb-http-refused", "the gate shows no files of a repository", "git's smart protocol"));
}

function isService(text: string): text is Service {
  return SERVICES.includes(text);
}
