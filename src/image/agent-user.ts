/** The user as whom the agent runs, made in images that have none with its number: programs look themselves up. */
import type { FileHandle } from "node:fs/promises";
import { GUEST } from "../contract/backend.ts";
import type { DiskContent } from "./ext4/content.ts";
import { BLOCK } from "./ext4/format.ts";
import { type FolderNode, folderAt, newFolder, nodeAt, type TreeNode } from "./tree.ts";

/** A longer list of users is none that an image has; it is left as it is. */
const MAX_TABLE_BYTES = 1024 * 1024;

export interface AgentUserTarget {
  readonly root: FolderNode;
  readonly content: DiskContent;
  /** To read what is on the disk already. */
  readonly file: FileHandle;
  readonly layer: number;
}

/** Adds user, group and home where they are missing; what an image has under these numbers stays. */
export async function addAgentUser(target: AgentUserTarget): Promise<void> {
  const { root, layer } = target;
  const etc = folderAt(root, ["etc"], layer);
  if (etc === undefined) return;
  const shell = isProgram(nodeAt(root, ["bin", "bash"])) ? "/bin/bash" : "/bin/sh";
  const { user, uid, gid, home } = GUEST;
  await addLine(target, etc, "group", "root:x:0:\n", gid, (name) => `${name}:x:${gid}:\n`);
  await addLine(
    target,
    etc,
    "passwd",
    "root:x:0:0:root:/root:/bin/sh\n",
    uid,
    (name) => `${name}:x:${uid}:${gid}::${home}:${shell}\n`,
  );
  const homes = folderAt(root, home.split("/").slice(1, -1), layer);
  if (homes?.children.get(user) === undefined) {
    homes?.children.set(user, { node: newFolder({ mode: 0o755, uid, gid, mtime: 0 }), layer });
  }
}

function isProgram(node: TreeNode | undefined): boolean {
  return node?.type === "file" || node?.type === "symlink";
}

async function addLine(
  target: AgentUserTarget,
  etc: FolderNode,
  table: "passwd" | "group",
  otherwise: string,
  id: number,
  line: (name: string) => string,
): Promise<void> {
  const node = etc.children.get(table)?.node;
  // A link or worse: whoever made it knows why.
  if (node !== undefined && (node.type !== "file" || node.size > MAX_TABLE_BYTES)) return;
  const text = node === undefined ? otherwise : await contentOf(node, target);
  const rows = text.split("\n").map((row) => row.split(":"));
  if (rows.some((row) => row[2] === String(id))) return;
  const name = rows.some((row) => row[0] === GUEST.user) ? `${GUEST.user}-${id}` : GUEST.user;
  const bytes = Buffer.from(
    `${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${line(name)}`,
    "latin1",
  );
  const runs = await target.content.file(once(bytes), bytes.length);
  const attributes = node?.attributes ?? { mode: 0o644, uid: 0, gid: 0, mtime: 0 };
  etc.children.set(table, {
    node: { type: "file", attributes, size: bytes.length, runs },
    layer: target.layer,
  });
}

async function contentOf(
  node: Extract<TreeNode, { type: "file" }>,
  target: AgentUserTarget,
): Promise<string> {
  await target.content.flush();
  const bytes = Buffer.alloc(node.size);
  for (const { logical, first, count } of node.runs) {
    const length = Math.min(count * BLOCK, node.size - logical * BLOCK);
    await target.file.read(bytes, logical * BLOCK, length, first * BLOCK);
  }
  return bytes.toString("latin1");
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield bytes;
}
