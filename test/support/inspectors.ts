/** An inspector with one detector, one known secret and one canary, and texts that hold them. */
import type { Detector } from "../../src/inspect/detector.ts";
import { compileInspector, type InspectorOptions } from "../../src/inspect/inspector.ts";

export const TOKEN = `ghp${"_"}${"k3Rz9QmXw7LpT2vN8sYbHc5JdF1gA6eUoV4i"}`;
export const KNOWN = `s3cr${"et-"}${"Qz81Lm0xVt6RkWy2PbNc"}`;
export const CANARY = `cnry${"Y7"}${"gH2kD9sXq4"}`;

export const FORGE: Detector = {
  id: "forge-token",
  title: "Forge token",
  group: "forge",
  trigger: { kind: "keyword", keywords: ["ghp_"] },
  pattern: "ghp_[A-Za-z0-9]{36}",
  source: "test",
};

export const OPTIONS: InspectorOptions = {
  detectors: [FORGE],
  known: [
    { name: "deploy-key", kind: "known", value: KNOWN },
    { name: "decoy", kind: "canary", value: CANARY },
  ],
  fingerprintKey: Buffer.alloc(32, 7),
};

export const inspector = compileInspector(OPTIONS);
