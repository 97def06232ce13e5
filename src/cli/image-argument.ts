/** An image as it is typed on the command line: as in a manifest, and with paths from the current folder too. */
import { homedir } from "node:os";
import { resolve } from "node:path";
import type { ImageSource } from "../contract/image.ts";
import { UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { parseImageSource } from "../manifest/image-source.ts";

const WITH_PATH = /^(oci:|docker-archive:|dockerfile:|dir:)(.+)$/s;

/** @throws UserError saying what an image looks like. */
export function imageFrom(text: string): ImageSource {
  const [, transport, path = ""] = WITH_PATH.exec(text) ?? [];
  const [folder = "", ...ref] = path.split(":");
  const home = folder.startsWith("~/") ? `${homedir()}${folder.slice(1)}` : folder;
  const parsed = parseImageSource(
    transport === undefined ? text : `${transport}${[resolve(home), ...ref].join(":")}`,
  );
  if (parsed.ok) return parsed.value;
  throw new UserError(`the image ${printable(text)} ${parsed.reason}`, {
    hint: "debian:12, docker://host/repository:tag, oci:folder:name, docker-archive:file.tar, docker-daemon:name, dockerfile:file, dir:folder, kept:name or built-in",
    exitCode: 2,
  });
}
