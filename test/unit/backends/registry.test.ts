import { describe, expect, it } from "vitest";
import { allBackends, backendNamed, chooseBackend } from "../../../src/backends/registry.ts";
import { UserError } from "../../../src/lib/errors.ts";

describe("a backend", () => {
  it("is found by its name", async () => {
    for (const backend of await allBackends()) expect(await backendNamed(backend.name)).toBe(backend);
  });

  it("that does not exist is refused, with a guess and the names there are", async () => {
    await expect(backendNamed("namespaces")).rejects.toThrow(UserError);
    await expect(backendNamed("namespaces")).rejects.toThrow("did you mean namespace?");
    await expect(backendNamed("toString")).rejects.toThrow("there is no backend toString");
    await expect(backendNamed("")).rejects.toHaveProperty("hint", expect.stringContaining("namespace"));
  });
});

describe("the choice of a backend", () => {
  it("takes the flag before the environment, and the environment before the bottle", async () => {
    const wrong = "nonexistent";
    await expect(chooseBackend({ flag: wrong, environment: "namespace" })).rejects.toThrow(wrong);
    await expect(chooseBackend({ environment: wrong, manifest: "namespace" })).rejects.toThrow(wrong);
    await expect(chooseBackend({ flag: "", environment: wrong })).rejects.toThrow(wrong);
  });

  it("takes none that has no disk for the bottle's image, and says which would", async () => {
    const what = "the image docker://docker.io/library/debian:12";
    const wishes = [{ what, kind: "takesImages" }] as const;
    const asked = chooseBackend({ flag: "namespace", wishes });
    await expect(asked).rejects.toMatchObject({
      message: expect.stringMatching(/^the image docker.* is not for the backend namespace/),
      hint: expect.stringContaining("take it out of the bottle"),
    });
    const [taker] = (await allBackends()).filter(({ takesImages }) => takesImages);
    const any = await chooseBackend({ wishes }).catch((error: unknown) => error);
    if (taker === undefined) expect(String(any)).toMatch(/is not for the backend/);
    else expect(JSON.stringify(any)).not.toContain("is not for the backend");
  });

  it("refuses what is weaker than the bottle's minimum, and never takes it instead", async () => {
    const asked = chooseBackend({ flag: "namespace", minimum: "vm" });
    // Where the backend cannot run at all, that is what is said.
    await expect(asked).rejects.toThrow(
      /the bottle asks for isolation vm|namespace cannot run a bottle here/,
    );
  });
});
