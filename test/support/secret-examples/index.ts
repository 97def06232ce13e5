import { CHAT_EXAMPLES } from "./chat.ts";
import { CLOUD_EXAMPLES } from "./clouds.ts";
import { CONNECTION_EXAMPLES } from "./connections.ts";
import { DATABASE_EXAMPLES } from "./databases.ts";
import type { SecretExample } from "./example.ts";
import { FILLED_IN } from "./filled-in.ts";
import { FORGE_EXAMPLES } from "./forges.ts";
import { MODEL_PROVIDER_EXAMPLES } from "./model-providers.ts";
import { MONITORING_EXAMPLES } from "./monitoring.ts";
import { BANK_EXAMPLES, CARD_EXAMPLES } from "./numbers.ts";
import { PAYMENT_EXAMPLES } from "./payment.ts";
import { PRIVATE_KEY_EXAMPLES } from "./private-keys.ts";
import { REGISTRY_EXAMPLES } from "./registries.ts";
import { TOKEN_EXAMPLES } from "./tokens.ts";
import { WALLET_EXAMPLES } from "./wallets.ts";

const DOCUMENTED: Readonly<Record<string, SecretExample>> = {
  ...MODEL_PROVIDER_EXAMPLES,
  ...CLOUD_EXAMPLES,
  ...FORGE_EXAMPLES,
  ...REGISTRY_EXAMPLES,
  ...PAYMENT_EXAMPLES,
  ...CHAT_EXAMPLES,
  ...DATABASE_EXAMPLES,
  ...MONITORING_EXAMPLES,
  ...PRIVATE_KEY_EXAMPLES,
  ...TOKEN_EXAMPLES,
  ...CONNECTION_EXAMPLES,
  ...CARD_EXAMPLES,
  ...BANK_EXAMPLES,
  ...WALLET_EXAMPLES,
};

/** What each detector must find and must leave, by its id. */
export const SECRET_EXAMPLES: Readonly<Record<string, SecretExample>> = Object.fromEntries(
  Object.entries(DOCUMENTED).map(([id, example]) => [
    id,
    { ...example, nearMisses: [...example.nearMisses, ...(FILLED_IN[id] ?? [])] },
  ]),
);
