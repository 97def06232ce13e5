import { describe, expect, it } from "vitest";
import { createScope, ScopeError } from "../../../src/lib/scope.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a scope", () => {
  it("undoes in reverse order, each step after the one before has ended", async () => {
    const done: string[] = [];
    const scope = createScope();
    scope.defer("first", () => void done.push("first"));
    scope.defer("second", async () => {
      await turn();
      done.push("second");
    });
    scope.defer("third", () => void done.push("third"));
    await scope.close();
    expect(done).toEqual(["third", "second", "first"]);
  });

  it("runs every step although some fail, and names those", async () => {
    const done: string[] = [];
    const scope = createScope();
    scope.defer("lock", () => void done.push("lock"));
    scope.defer("folder", () => {
      throw new Error("it is busy");
    });
    scope.defer("guest", () => Promise.reject(new Error("it hangs")));
    const error = await scope.close().catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(ScopeError);
    expect((error as ScopeError).message).toBe(
      "undoing guest: Error: it hangs; undoing folder: Error: it is busy",
    );
    expect((error as ScopeError).errors).toHaveLength(2);
    expect(done).toEqual(["lock"]);
  });

  it("tells each step whether one before it failed", async () => {
    const told: boolean[] = [];
    const scope = createScope();
    scope.defer("last", (hasFailed) => void told.push(hasFailed));
    scope.defer("volume", () => Promise.reject(new Error("its engine is gone")));
    scope.defer("first", (hasFailed) => void told.push(hasFailed));
    await scope.close().catch(() => {});
    expect(told).toEqual([false, true]);
  });

  it("undoes once, however often it is closed", async () => {
    let times = 0;
    const scope = createScope();
    scope.defer("once", () => void times++);
    await Promise.all([scope.close(), scope.close()]);
    await scope.close();
    expect(times).toBe(1);
  });

  it("undoes what is registered while it closes, at once and before what is left", async () => {
    const done: string[] = [];
    const scope = createScope();
    scope.defer("left", () => void done.push("left"));
    scope.defer("slow", async () => {
      await turn();
      scope.defer("late", () => void done.push("late"));
      await turn();
      done.push("slow");
    });
    await scope.close();
    expect(done).toEqual(["slow", "late", "left"]);
  });

  it("undoes what is registered after it has closed; closing again waits for that", async () => {
    const done: string[] = [];
    const scope = createScope();
    await scope.close();
    scope.defer("late", async () => {
      await turn();
      done.push("late");
    });
    await scope.close();
    expect(done).toEqual(["late"]);
  });

  it("regression: undoes what comes late also when an earlier step had failed, and tells of both", async () => {
    const done: string[] = [];
    const scope = createScope();
    scope.defer("early", () => Promise.reject(new Error("no")));
    await expect(scope.close()).rejects.toThrow("undoing early");
    scope.defer("late", () => void done.push("late"));
    scope.defer("later", () => Promise.reject(new Error("neither")));
    await expect(scope.close()).rejects.toThrow("undoing early: Error: no; undoing later: Error: neither");
    expect(done).toEqual(["late"]);
  });

  it("regression: leaves no rejection to nobody when what comes late fails", async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", listen);
    try {
      const scope = createScope();
      await scope.close();
      scope.defer("late", () => Promise.reject(new Error("no")));
      await turn();
      await turn();
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", listen);
    }
  });
});
