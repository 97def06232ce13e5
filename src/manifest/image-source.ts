/**
 * The operator's word for an image, in the terms of the field: `docker://host/repository:tag@sha256:…` or short
 * `debian:12`, `oci:/folder:name`, `docker-archive:/file.tar:name`, `docker-daemon:name:tag`,
 * `dockerfile:/file`, `dir:/folder`, `kept:name`, `built-in`.
 */
import { isIP } from "node:net";
import type { ImageSource, RegistryReference } from "../contract/image.ts";
import { parseHost, parseHostPort } from "../lib/host.ts";
import { accept, type Parsed, quoted, reject } from "../lib/parsed.ts";
import { isName } from "./scalars.ts";

const CONTROL = /[\p{Cc}\u2028\u2029]/u;

/** Reference grammar of the distribution project. */
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const MAX_REPOSITORY_LENGTH = 255;
const DEFAULT_TAG = "latest";
const DOCKER_HUB = "docker.io";

/** Paths are absolute or begin with `~/`. */
export function parseImageSource(text: string): Parsed<ImageSource> {
  if (CONTROL.test(text)) return reject("must be one line, without control characters");
  if (text === "built-in") return accept({ kind: "built-in" });
  const [, transport = "", rest = ""] =
    /^(docker:\/\/|oci:|docker-archive:|docker-daemon:|dockerfile:|dir:|kept:)(.*)$/s.exec(text) ?? [];
  switch (transport) {
    case "oci:":
    case "docker-archive:": {
      const colon = rest.indexOf(":");
      const [path, ref] = colon < 0 ? [rest, undefined] : [rest.slice(0, colon), rest.slice(colon + 1)];
      if (!isHostPath(path))
        return reject(`must be ${transport} and an absolute path, or one that begins with ~/`);
      if (ref === "") return reject("ends with a colon: name one of its images after it, or leave it out");
      const kind = transport === "oci:" ? "oci-layout" : "docker-archive";
      return accept({ kind, path, ...(ref !== undefined && { ref }) });
    }
    case "docker-daemon:": {
      const named = parseReference(rest);
      return named.ok ? accept({ kind: "engine", name: rest }) : named;
    }
    case "dir:":
    case "dockerfile:": {
      if (!isHostPath(rest))
        return reject(`must be ${transport} and an absolute path, or one that begins with ~/`);
      return accept({ kind: transport === "dir:" ? "folder" : "dockerfile", path: rest });
    }
    case "kept:":
      return isName(rest) ? accept({ kind: "kept", name: rest }) : reject("must be kept: and a name");
    default:
      return parseReference(transport === "" ? text : rest);
  }
}

function isHostPath(path: string): boolean {
  return (path.startsWith("/") || path.startsWith("~/")) && !path.split("/").includes("..");
}

function parseReference(text: string): Parsed<ImageSource> {
  if (/^[./~]/.test(text)) return reject("begins like a path: write dir:, oci: or docker-archive: before it");
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !DIGEST.test(digest))
    return reject("has no digest after its @: sha256: and 64 hex digits");
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) return reject("has a tag that no registry takes");
  const place = placeOf(colon < 0 ? named : named.slice(0, colon));
  if (!place.ok) return place;
  const { host, repository } = place.value;
  if (repository.length > MAX_REPOSITORY_LENGTH || !REPOSITORY.test(repository)) {
    return reject(
      `${quoted(repository)} is no repository: small letters, digits, and between them one of . _ - or /`,
    );
  }
  const reference = { host, repository, ...(digest !== undefined && { digest }) };
  if (tag === undefined && digest !== undefined) return accept({ kind: "registry", ...reference });
  return accept({ kind: "registry", ...reference, tag: tag ?? DEFAULT_TAG });
}

/** The first part is a host when it could be no part of a repository's name; else it is all on Docker Hub. */
function placeOf(named: string): Parsed<Pick<RegistryReference, "host" | "repository">> {
  const slash = named.indexOf("/");
  const first = slash < 0 ? "" : named.slice(0, slash);
  if (!/[.:]|^localhost$/.test(first)) {
    return accept({ host: DOCKER_HUB, repository: named.includes("/") ? named : `library/${named}` });
  }
  const host = parseRegistryHost(first);
  if (!host.ok) return host;
  const repository = named.slice(slash + 1);
  if (host.value === DOCKER_HUB || host.value === `index.${DOCKER_HUB}`) {
    return accept({
      host: DOCKER_HUB,
      repository: repository.includes("/") ? repository : `library/${repository}`,
    });
  }
  return accept({ host: host.value, repository });
}

function parseRegistryHost(text: string): Parsed<string> {
  if (!/:[0-9]+$/.test(text)) return parseHost(text);
  const parsed = parseHostPort(text);
  if (!parsed.ok) return parsed;
  const { host, port } = parsed.value;
  return accept(`${isIP(host) === 6 ? `[${host}]` : host}:${port}`);
}
