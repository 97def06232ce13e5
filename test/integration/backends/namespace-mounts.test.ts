/** The operator's mounts in a namespace guest: where they may be, in which order, and what none of them can do. */
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { namespaceBackend } from "../../../src/backends/namespace/backend.ts";
import { GUEST } from "../../../src/contract/backend.ts";
import type { PlannedMount } from "../../../src/contract/plan.ts";
import { UserError } from "../../../src/lib/errors.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { sh, startBottle, type TestBottle, temporaryFolder } from "../../support/bottle-guest.ts";

const ODD = `odd, "name": it's\t– 漢\nwith a line break\\040`;

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  mkdirSync(join(folder, "data/inner"), { recursive: true });
  writeFileSync(join(folder, "data/file"), "data\n");
  writeFileSync(join(folder, "data/inner/deep"), "deep\n");
  mkdirSync(join(folder, "other"));
  writeFileSync(join(folder, "other/file"), "other\n");
  mkdirSync(join(folder, ODD));
  writeFileSync(join(folder, ODD, "file"), "odd\n");
  symlinkSync("data", join(folder, "link"));
  // Only the mount keeps anybody from writing.
  execFileSync("chmod", ["-R", "a+rwX", folder]);
});
afterAll(() => removeTree(folder));

async function withMounts<T>(
  mounts: readonly PlannedMount[],
  use: (bottle: TestBottle) => Promise<T>,
  options: Parameters<typeof startBottle>[1] = {},
): Promise<T> {
  const bottle = await startBottle(namespaceBackend, { ...options, mounts });
  try {
    return await use(bottle);
  } finally {
    await bottle.close();
  }
}

const from = (name: string): string => join(folder, name);

describe("an operator's mount", () => {
  it("shows folders and files where they were asked for, below home and workspace too, and read-only", async () => {
    const mounts = [
      { from: from("data"), to: "/data" },
      { from: from("data/file"), to: "/etc/some.conf" },
      { from: from("data"), to: `${GUEST.home}/data` },
      { from: from("data/file"), to: `${GUEST.workspace}/shared/one file` },
      { from: from(ODD), to: `/mnt/${ODD}` },
      { from: from("link"), to: "/srv/linked" },
    ];
    await withMounts(mounts, async ({ guest }) => {
      expect(
        await sh(
          guest,
          "cat /data/file /etc/some.conf ~/data/inner/deep ~/workspace/shared/one* /mnt/*/file /srv/linked/file",
        ),
      ).toBe("data\ndata\ndeep\ndata\nodd\ndata");
      const writes = [
        "/data/x",
        "/data/file",
        "/data/inner/x",
        `${GUEST.home}/data/x`,
        `${GUEST.workspace}/shared/one file`,
        "/etc/some.conf",
        "/srv/linked/x",
      ];
      for (const path of writes) {
        expect(await sh(guest, `echo x 2>/dev/null >>'${path}' && echo written || echo refused`), path).toBe(
          "refused",
        );
      }
      // The guest's own folders around them stay its own.
      expect(await sh(guest, "echo mine >~/workspace/shared/mine && cat ~/workspace/shared/mine")).toBe(
        "mine",
      );
      expect(await sh(guest, "rm -rf ~/data ~/workspace/shared/one* 2>/dev/null || echo refused")).toBe(
        "refused",
      );
    });
    expect(readdirSync(from("data")).sort()).toEqual(["file", "inner"]);
  });

  it("keeps what is mounted below its source read-only too, and its flags", async () => {
    // /usr is there everywhere; of its mounts a test of unusual hosts takes care.
    await withMounts([{ from: "/usr/share", to: "/share" }], async ({ guest }) => {
      const flags = await sh(guest, "grep ' /share ' /proc/self/mountinfo | cut -d' ' -f6");
      expect(flags).toMatch(/^ro,nosuid,nodev\b/);
    });
  });

  it("is not hidden by another, in whatever order they are given", async () => {
    const mounts = [
      { from: from("other"), to: "/data/inner" },
      { from: from("data"), to: "/data" },
    ];
    for (const order of [mounts, [...mounts].reverse()]) {
      await withMounts(order, async ({ guest }) => {
        expect(await sh(guest, "cat /data/file /data/inner/file; ls /data/inner")).toBe("data\nother\nfile");
      });
    }
  });

  const refused: Readonly<Record<string, { mounts: () => readonly PlannedMount[]; why: string }>> = {
    "over the root": { mounts: () => [{ from: folder, to: "/" }], why: "plainly" },
    "over the home": { mounts: () => [{ from: folder, to: GUEST.home }], why: GUEST.home },
    "over the home's parent": { mounts: () => [{ from: folder, to: "/home" }], why: GUEST.home },
    "over the workspace": { mounts: () => [{ from: folder, to: GUEST.workspace }], why: GUEST.workspace },
    "over /etc": { mounts: () => [{ from: folder, to: "/etc" }], why: "/etc" },
    "over the bottle's own users": {
      mounts: () => [{ from: from("data/file"), to: "/etc/passwd" }],
      why: "/etc/passwd",
    },
    "into the bottle's CA store": {
      mounts: () => [{ from: from("data"), to: "/etc/ssl/certs" }],
      why: "/etc/ssl",
    },
    "into the bottle's programs": {
      mounts: () => [{ from: from("data"), to: "/opt/bottle/x" }],
      why: "/opt/bottle",
    },
    "over the bottle's programs": { mounts: () => [{ from: from("data"), to: "/opt" }], why: "/opt/bottle" },
    "into /usr": { mounts: () => [{ from: from("data"), to: "/usr/share/data" }], why: "/usr" },
    "into /bin, a link": { mounts: () => [{ from: from("data"), to: "/bin/data" }], why: "/bin" },
    "into /proc": { mounts: () => [{ from: from("data"), to: "/proc/sys" }], why: "/proc" },
    "into /tmp": { mounts: () => [{ from: from("data"), to: "/tmp/data" }], why: "/tmp" },
    "at a path that climbs": { mounts: () => [{ from: from("data"), to: "/srv/../etc/x" }], why: "plainly" },
    "at a relative path": { mounts: () => [{ from: from("data"), to: "data" }], why: "absolute" },
    "of what is not there": { mounts: () => [{ from: from("nothing"), to: "/data" }], why: "does not exist" },
    "of a device": { mounts: () => [{ from: "/dev/zero", to: "/data" }], why: "neither a folder nor a file" },
    "in another one where there is no place": {
      mounts: () => [
        { from: from("data"), to: "/data" },
        { from: from("other"), to: "/data/new" },
      ],
      why: "there is no",
    },
    "of a folder on a file": {
      mounts: () => [
        { from: from("data"), to: "/data" },
        { from: from("other"), to: "/data/file" },
      ],
      why: "is no folder",
    },
  };
  it.each(Object.entries(refused))("is refused %s, by name", async (_, { mounts, why }) => {
    const error = await withMounts(mounts(), async () => undefined).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    const { message } = error as UserError;
    expect(message).toContain(why);
    expect(message).toContain(mounts().at(-1)?.to);
  });

  it("is refused of a socket, which read-only does not keep anybody from using", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(from("socket"), resolve));
    await expect(
      withMounts([{ from: from("socket"), to: "/run/x.sock" }], async () => undefined),
    ).rejects.toThrow("neither a folder nor a file");
    await new Promise((resolve) => server.close(resolve));
  });
});

describe("a guest's home of an earlier life", () => {
  const traps: Readonly<Record<string, string>> = {
    "a link to a folder of the host's": `ln -s ${"FOLDER"}/other ~/here`,
    "a link to the root": "ln -s / ~/here",
    "a link to nowhere": "ln -s /nonexistent/x ~/here",
    "a link on the way": `mkdir ~/real; ln -s real ~/here`,
    "a file in the place of a folder": "echo x >~/here",
    "a pipe": "mkfifo ~/here",
  };
  it.each(Object.entries(traps))("cannot lead a mount astray with %s", async (_, trap) => {
    const earlier = await startBottle(namespaceBackend);
    try {
      await sh(earlier.guest, trap.replace("FOLDER", folder));
      await earlier.scope.close();
      const before = listing();
      const place = `${GUEST.home}/here${trap.includes("real") ? "/below" : ""}`;
      await expect(
        withMounts([{ from: from("data"), to: place }], async () => undefined, {
          folder: earlier.folder,
          id: earlier.id,
        }),
      ).rejects.toThrow("in the bottle there is a");
      expect(listing()).toEqual(before);
      expect(existsSync("/nonexistent")).toBe(false);
    } finally {
      await earlier.close();
    }
  });

  it("keeps the places that were made in it, and what lies beside them", async () => {
    const mounts = [{ from: from("data"), to: `${GUEST.home}/a/b/data` }];
    const first = await startBottle(namespaceBackend, { mounts });
    try {
      await sh(first.guest, "echo mine >a/b/mine");
      await first.scope.close();
      const place = lstatSync(join(first.stateDir, "home/a/b"));
      expect(place.uid).toBe(lstatSync(join(first.stateDir, "home")).uid);
      const second = await startBottle(namespaceBackend, { mounts, folder: first.folder, id: first.id });
      expect(await sh(second.guest, "cat ~/a/b/mine ~/a/b/data/file")).toBe("mine\ndata");
      await second.close();
    } finally {
      await first.close();
    }
  });
});

function listing(): string {
  return execFileSync("find", [folder, "-print0"]).toString();
}
