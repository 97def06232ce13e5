/** The agent's user in an image that may not have one, or calls it something else. */
import { GUEST } from "../../contract/backend.ts";

/** Of /etc/passwd. */
export function agentLine(shell: string): string {
  const { user, uid, gid, home } = GUEST;
  return `${user}:x:${uid}:${gid}:${user}:${home}:${shell}`;
}

/** /etc/passwd with `node` as uid 1000 and as nobody else. */
export function passwdWithAgent(passwd: string, shell: string): string {
  return withLine(passwd, GUEST.uid, agentLine(shell));
}

/** /etc/group, likewise. */
export function groupWithAgent(group: string): string {
  const { user, gid } = GUEST;
  return withLine(group, gid, `${user}:x:${gid}:`);
}

function withLine(text: string, number: number, line: string): string {
  const others = text
    .split("\n")
    .filter(
      (each) => each !== "" && each.split(":")[0] !== GUEST.user && Number(each.split(":")[2]) !== number,
    );
  return `${[...others, line].join("\n")}\n`;
}
