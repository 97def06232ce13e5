import type { Detector } from "./detector.ts";
export const PHRASES: readonly Detector[] = [];
