/** Makes every kind of key that is made for a bottle, many times. */
import { makeIdentity } from "../../../../src/backends/qemu/identity.ts";
import { makeSshKeyPair } from "../../../../src/bundle/private-key.ts";

const TIMES = 3_000;
const made = new Set<string>();
for (let i = 0; i < TIMES; i++) {
  made.add(makeSshKeyPair().publicKey);
  made.add(makeIdentity({ hostname: "machine", etc: {}, mounts: [] }).keys.hostKey.toString("base64"));
}
console.log(made.size);
