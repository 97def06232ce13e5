/** The plan's skills, each a fresh copy of a host folder in the agent's home. */
import { readlinkSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { GUEST, type Guest } from "../contract/backend.ts";
import type { PlannedSkill } from "../contract/plan.ts";
import { joined, type PackEntry, packEntries, walk } from "../lib/archive/pack-tar.ts";
import { statusOf } from "../lib/archive/status.ts";
import { codeOf, UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { runInGuestOk } from "./guest-command.ts";
import { archiveName, unpackInGuest } from "./transfer.ts";

/** Instructions and small scripts. More is a folder named by mistake, a home directory for instance. */
const MAX_SKILL_BYTES = 64 * 1024 * 1024;
const MAX_SKILL_ENTRIES = 10_000;

const SKILL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Where agents look for skills, unless their provider says otherwise. */
export const GUEST_SKILLS = `${GUEST.home}/.claude/skills`;

/** @param folder of the guest. @throws UserError naming the skill, when it is gone, too large, or has a link that leaves its folder. */
export async function provisionSkills(
  guest: Guest,
  skills: readonly PlannedSkill[],
  folder: string = GUEST_SKILLS,
): Promise<void> {
  if (skills.length === 0) return;
  const places = await Promise.all(skills.map(locate));
  const earlier = skills.map(({ name }) => `${folder}/${name}`);
  await runInGuestOk(guest.exec, ["rm", "-rf", ...earlier], { cwd: "/" });
  const entries = function* (): Generator<PackEntry, void, void> {
    for (const [index, skill] of skills.entries())
      yield* entriesOf(skill, places[index] ?? skill.path, folder);
  };
  const owner = { uid: GUEST.uid, gid: GUEST.gid };
  await unpackInGuest(guest.exec, packEntries(entries(), { owner }), "agent", folder);
}

/** The folder itself may be a link, into somebody's dotfiles for instance. */
async function locate(skill: PlannedSkill): Promise<string> {
  if (!SKILL_NAME.test(skill.name)) throw new UserError(`${printable(skill.name)} is no name for a skill`);
  try {
    return await realpath(skill.path);
  } catch (cause) {
    throw new UserError(`skill ${skill.name} is not at ${skill.path}: ${codeOf(cause) ?? String(cause)}`, {
      hint: "create that folder, or take the skill out of the agent's file",
      cause,
    });
  }
}

function* entriesOf(skill: PlannedSkill, from: string, into: string): Generator<PackEntry, void, void> {
  const refuse = (what: string, hint?: string): never => {
    throw new UserError(`skill ${skill.name} ${what}`, hint === undefined ? {} : { hint });
  };
  const folder = Buffer.from(from);
  if (statusOf(folder)?.isDirectory() !== true) refuse(`is no folder: ${from}`);
  let entries = 0;
  let bytes = 0;
  // A skill that is a clone keeps its remote's credentials, and its hooks, to itself.
  const exclude = (name: Buffer): boolean => /(^|\/)\.git$/.test(name.toString("latin1"));
  for (const { name, path } of walk(folder, Buffer.alloc(0), { exclude })) {
    const status = statusOf(path);
    entries += 1;
    if (entries > MAX_SKILL_ENTRIES) refuse(`has more than ${MAX_SKILL_ENTRIES} entries: ${from}`);
    if (status?.isFile() === true) bytes += status.size;
    if (bytes > MAX_SKILL_BYTES) refuse(`is larger than ${MAX_SKILL_BYTES / 1024 / 1024} MiB: ${from}`);
    if (status?.isSymbolicLink() === true && leaves(name, readlinkSync(path, { encoding: "buffer" }))) {
      refuse(
        `has a link that leaves its folder: ${printable(name.toString())}`,
        "put a copy of what it points to in its place",
      );
    }
    const to = archiveName(`${into}/${skill.name}`);
    yield { kind: "disk", name: name.length === 0 ? to : joined(to, name), path };
  }
}

/** A link out of the folder would lead nowhere in the guest, or somewhere nobody meant. */
function leaves(name: Buffer, target: Buffer): boolean {
  if (target[0] === 0x2f) return true;
  let depth = name.toString("latin1").split("/").length - 1;
  for (const step of target.toString("latin1").split("/")) {
    if (step === "..") depth -= 1;
    else if (step !== "" && step !== ".") depth += 1;
    if (depth < 0) return true;
  }
  return false;
}
