/** An image as its operator would write it: the one spelling under which the cache knows it. */
import type { ImageSource } from "../contract/image.ts";

export function imageWord(source: ImageSource): string {
  switch (source.kind) {
    case "registry": {
      const tag = source.tag === undefined ? "" : `:${source.tag}`;
      const digest = source.digest === undefined ? "" : `@${source.digest}`;
      return `docker://${source.host}/${source.repository}${tag}${digest}`;
    }
    case "oci-layout":
      return `oci:${source.path}${source.ref === undefined ? "" : `:${source.ref}`}`;
    case "docker-archive":
      return `docker-archive:${source.path}${source.ref === undefined ? "" : `:${source.ref}`}`;
    case "engine":
      return `docker-daemon:${source.name}`;
    case "dockerfile":
      return `dockerfile:${source.path}`;
    case "folder":
      return `dir:${source.path}`;
    case "kept":
      return `kept:${source.name}`;
    case "built-in":
      return "built-in";
  }
}
