/** What an HTTP answer says of a probe. */
import { env, got, refused } from "./verdict.ts";

/** An HTTP answer, or several: what egress, git-gate, supervise or an upstream said. */
export function judgeHttp(
  text: string,
  more: { readonly ms?: number; readonly otherwise?: string } = {},
): never {
  const { ms, otherwise = "closed" } = more;
  const code = /^x-bottle-denied: *([a-z-]+)/im.exec(text)?.[1];
  const timing = ms === undefined ? {} : { ms };
  // Of several answers a refusal may be the first: whoever hears the word at all got through.
  if (text.includes(env["WORD"] ?? "")) return got(lastLine(text));
  if (code !== undefined)
    return refused(code, { ...timing, explained: isExplained(text, code), words: lastLine(text) });
  const status = [...text.matchAll(/^HTTP\/[\d.]+ (\d{3})/gm)].at(-1)?.[1];
  return refused(status === undefined ? otherwise : `http-${status}`, { ...timing, words: lastLine(text) });
}

/** What, why, and how to ask (I10). */
function isExplained(text: string, code: string): boolean {
  const start = text.indexOf('{"denied"');
  if (start < 0)
    return text.includes(`denied: ${code}: `) && text.includes("\nrule: ") && text.includes("\nask: ");
  try {
    const { denied } = JSON.parse(text.slice(start, text.lastIndexOf("}") + 1)) as {
      denied: Readonly<Record<string, unknown>> & { ask?: { tool?: unknown; arguments?: unknown } };
    };
    const said = ["reason", "target", "rule"].every(
      (key) => typeof denied[key] === "string" && denied[key] !== "",
    );
    return (
      denied["code"] === code &&
      said &&
      typeof denied.ask?.tool === "string" &&
      typeof denied.ask.arguments === "object"
    );
  } catch {
    return false;
  }
}

function lastLine(text: string): string {
  return (
    text
      .trim()
      .split("\n")
      .at(-1)
      ?.replace(/[^\x20-\x7e]/g, "?") ?? ""
  );
}
