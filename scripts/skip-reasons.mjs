/** A reporter of vitest's: names each test that was skipped, with what it said when it was. */
// biome-ignore lint/style/noDefaultExport: as vitest asks for it.
export default class SkipReasons {
  onTestRunEnd(modules) {
    for (const module of modules) {
      for (const test of module.children.allTests("skipped")) {
        const { note } = test.result();
        console.log(`skipped: ${test.fullName}${note === undefined ? "" : ` (${note})`}`);
      }
    }
  }
}
