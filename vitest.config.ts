import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What takes longer hangs: machines that are emulated and daemons share two processors with each other. */
const HANGS_MS = 180_000;

/**
 * Files of a few lines that take minutes. By themselves, large files go first: these would come last, when there is nothing
 * left to do beside them.
 */
const SMALL_AND_LONG = /\/(?:day|faults|docker|kill|podman|qemu|smolmachines)\.test\.ts$/;

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification): boolean => SMALL_AND_LONG.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          pool: "threads",
          isolate: false,
          testTimeout: HANGS_MS,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: "integration",
          include: ["test/{integration,escape,fuzz}/**/*.test.ts"],
          pool: "forks",
          // With a fourth, two processors have nothing left, and what waits for a screen or a disk waits for minutes.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
          testTimeout: HANGS_MS,
          hookTimeout: HANGS_MS,
          expect: { poll: { timeout: HANGS_MS / 3 } },
        },
      },
    ],
  },
});
