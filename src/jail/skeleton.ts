/**
 * The on-disk skeleton of a jail's root: nothing but mount points, links and a generated /etc. It is an
 * allow-list: what is not put here does not exist inside. The host may write below it while the jail runs;
 * the jail sees it read-only.
 */
import { existsSync, lstatSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Bind } from "./mounts.ts";

/** Links that merged-/usr systems have at the root; on others they are folders, which are then bound. */
const USR_LINKS = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] as const;

/** Host files of /etc that programs need to run at all, and that say nothing about the operator. */
const ETC_COPIED = [
  "ld.so.cache",
  "ld.so.conf",
  "localtime",
  "mime.types",
  "protocols",
  "services",
  "shells",
  "bash.bashrc",
  "inputrc",
  "profile",
  "debian_version",
  "os-release",
] as const;

/** Host folders of /etc that are bound read-only: links of Debian's alternatives, and TLS settings. */
const ETC_BOUND = ["alternatives", "ld.so.conf.d", "terminfo"] as const;

export interface SkeletonSpec {
  /** Directory to make it in; must be empty or absent. */
  readonly root: string;
  readonly user: { readonly name: string; readonly uid: number; readonly home: string };
  readonly hostname: string;
  /** Text files below a generated /etc, by name relative to it; or the host's /etc as it is, for a program of ours. */
  readonly etc: Readonly<Record<string, string>> | "host";
  /** Mounts that will be made on it: their targets are created, as folder or file like the source. */
  readonly binds: readonly Bind[];
  /** Symbolic links besides, by their place inside: what each one says. */
  readonly links?: Readonly<Record<string, string>>;
}

interface SkeletonTools {
  readonly folder: (path: string) => Promise<void>;
  readonly file: (path: string, content: string | Uint8Array) => Promise<void>;
  readonly binds: Bind[];
}

/**
 * Makes the skeleton.
 * @returns every bind it takes: /usr and its kin, the /etc folders, and then `spec.binds`.
 */
export async function makeSkeleton(spec: SkeletonSpec): Promise<readonly Bind[]> {
  const binds: Bind[] = [{ from: spec.root, to: "/" }];
  // Group and others need r-x whatever the operator's umask is: the jail's uid is neither.
  const folder = async (path: string): Promise<void> => {
    const made = await mkdir(join(spec.root, path), { recursive: true, mode: 0o755 });
    if (made === undefined) return;
    for (let at = join(spec.root, path); at.length >= made.length; at = dirname(at)) await chmod(at, 0o755);
  };
  const file = async (path: string, content: string | Uint8Array): Promise<void> => {
    await folder(dirname(path));
    await writeFile(join(spec.root, path), content);
    await chmod(join(spec.root, path), 0o644);
  };

  await folder("/");
  await chmod(spec.root, 0o755);
  for (const name of ["proc", "dev", "tmp", "etc", "usr"]) await folder(name);
  binds.push({ from: "/usr", to: "/usr" });
  for (const name of USR_LINKS) {
    const host = `/${name}`;
    if (!existsSync(host)) continue;
    if (lstatSync(host).isSymbolicLink()) await symlink(readlinkSync(host), join(spec.root, name));
    else {
      await folder(name);
      binds.push({ from: host, to: host });
    }
  }

  if (spec.etc === "host") binds.push({ from: "/etc", to: "/etc" });
  else await makeEtc(spec, spec.etc, { folder, file, binds });

  for (const bind of spec.binds) {
    if (statSync(bind.from).isDirectory()) await folder(bind.to);
    else await file(bind.to, "");
    binds.push(bind);
  }
  for (const [path, target] of Object.entries(spec.links ?? {})) {
    await folder(dirname(path));
    await symlink(target, join(spec.root, path));
  }
  return binds;
}

async function makeEtc(
  spec: SkeletonSpec,
  texts: Readonly<Record<string, string>>,
  { folder, file, binds }: SkeletonTools,
): Promise<void> {
  for (const name of ETC_COPIED) {
    const host = `/etc/${name}`;
    if (existsSync(host) && statSync(host).isFile()) await file(`etc/${name}`, readFileSync(host));
  }
  for (const name of ETC_BOUND) {
    const host = `/etc/${name}`;
    if (!existsSync(host)) continue;
    await folder(`etc/${name}`);
    binds.push({ from: host, to: host });
  }
  const { name, uid, home } = spec.user;
  await file(
    "etc/passwd",
    `${name}:x:${uid}:${uid}:${name}:${home}:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`,
  );
  await file("etc/group", `${name}:x:${uid}:\nnogroup:x:65534:\n`);
  await file("etc/hostname", `${spec.hostname}\n`);
  for (const [path, content] of Object.entries(texts)) await file(`etc/${path}`, content);
}
