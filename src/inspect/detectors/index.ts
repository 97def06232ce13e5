/**
 * Every kind of secret the inspector knows without being told. To add one: its data in the file of its group,
 * what the provider documents as positives and near-misses in test/unit/inspect/detectors/examples/, and a run over
 * ordinary work (test/integration/inspect/).
 */

import type { Detector } from "../detector.ts";
import { BANKS } from "./banks.ts";
import { CARDS } from "./cards.ts";
import { CHAT } from "./chat.ts";
import { CLOUDS } from "./clouds.ts";
import { CONNECTIONS } from "./connections.ts";
import { DATABASES } from "./databases.ts";
import { isDocumentedExample } from "./documented-examples.ts";
import { FORGES } from "./forges.ts";
import { MODEL_PROVIDERS } from "./model-providers.ts";
import { MONITORING } from "./monitoring.ts";
import { PAYMENT } from "./payment.ts";
import { PRIVATE_KEYS } from "./private-keys.ts";
import { REGISTRIES } from "./registries.ts";
import { TOKENS } from "./tokens.ts";
import { WALLETS } from "./wallets.ts";

/** All detectors. A value that its provider publishes as an example is a finding of none of them. */
export const DETECTORS: readonly Detector[] = [
  ...MODEL_PROVIDERS,
  ...CLOUDS,
  ...FORGES,
  ...REGISTRIES,
  ...PAYMENT,
  ...CHAT,
  ...DATABASES,
  ...MONITORING,
  ...PRIVATE_KEYS,
  ...TOKENS,
  ...CONNECTIONS,
  ...CARDS,
  ...BANKS,
  ...WALLETS,
].map(withoutExamples);

function withoutExamples(detector: Detector): Detector {
  const { check } = detector;
  return { ...detector, check: (secret) => (check?.(secret) ?? true) && !isDocumentedExample(secret) };
}
