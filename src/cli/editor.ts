/** The operator's editor on a file. */
import { spawn } from "node:child_process";
import { UserError } from "../lib/errors.ts";

/** `$VISUAL` or `$EDITOR` may hold arguments, as git takes them; it is split at spaces and never given to a shell. */
export async function openEditor(path: string): Promise<void> {
  const words = (process.env["VISUAL"] || process.env["EDITOR"] || "vi").trim().split(/\s+/);
  const [command = "vi", ...args] = words;
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn(command, [...args, path], { stdio: "inherit" });
    child.once("error", (cause) =>
      reject(
        new UserError(`cannot run the editor ${command}`, {
          hint: "set EDITOR to one that is installed",
          cause,
        }),
      ),
    );
    child.once("exit", resolve);
  });
  if (code !== 0) throw new UserError(`${command} ended with ${code}; ${path} is as it left it`);
}
