import { blanked, draw, shorter } from "./draw.ts";
import { known, named, type SecretExample } from "./example.ts";

const ANTHROPIC = ["sk", "ant"].join("-");
const MARK = ["T3Blbk", "FJ"].join("");

export const MODEL_PROVIDER_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "anthropic-api-key": known(
    "https://github.com/anthropics/anthropic-sdk-python (keys are 108 characters and end in AA)",
    [`${ANTHROPIC}-api03-${draw("url", 93)}AA`, `${ANTHROPIC}-admin01-${draw("url", 93)}AA`],
    [
      `${ANTHROPIC}-api03-${draw("url", 92)}AA `,
      `${ANTHROPIC}-api03-${draw("url", 93)}zz`,
      blanked(`${ANTHROPIC}-api03-`, 95),
      `${ANTHROPIC}-api03-your-key-here`,
    ],
  ),
  "anthropic-oauth-token": known(
    "https://code.claude.com/docs/en/authentication",
    [`${ANTHROPIC}-oat01-${draw("url", 93)}AA`, `${ANTHROPIC}-ort01-${draw("url", 93)}AA`],
    [blanked(`${ANTHROPIC}-oat01-`, 95), `${ANTHROPIC}-oat01-${draw("url", 40)}`],
  ),
  "openai-api-key": known(
    "https://docs.gitguardian.com/secrets-detection/secrets-detection-engine/detectors/specifics/openai_project_apikey_v2",
    [
      `sk-proj-${draw("url", 74)}${MARK}${draw("url", 74)}`,
      `sk-svcacct-${draw("url", 58)}${MARK}${draw("url", 58)}`,
      `sk-admin-${draw("url", 58)}${MARK}${draw("url", 58)}`,
      `sk-proj-${draw("alnum", 20)}${MARK}${draw("alnum", 20)}`,
    ],
    [
      `sk-proj-${draw("url", 156)}`,
      `sk-proj-${draw("url", 40)}${MARK}${draw("url", 74)}`,
      blanked("sk-proj-", 48),
      `${blanked("sk-proj-", 74)}${MARK}${"x".repeat(74)}`,
    ],
  ),
  "openai-legacy-key": known(
    "https://github.com/openai/openai-python/blob/main/README.md",
    [`sk-${draw("alnum", 20)}${MARK}${draw("alnum", 20)}`],
    [
      `sk-${draw("alnum", 48)}`,
      `sk-${draw("alnum", 19)}${MARK}${draw("alnum", 19)}`,
      `${blanked("sk-", 20)}${MARK}${"x".repeat(20)}`,
      blanked("sk-", 48),
    ],
  ),
  "google-api-key": known(
    "https://cloud.google.com/docs/authentication/api-keys (39 characters)",
    [`AIza${draw("url", 35)}`, `AIzaSy${draw("url", 33)}`],
    [`AIza${draw("url", 34)} `, blanked("AIza", 35), `AIzaSy${"abcdefghijklmnopqrstuvwxyz1234567"}`],
  ),
  "groq-api-key": known(
    "https://console.groq.com/docs/quickstart",
    [`gsk_${draw("alnum", 52)}`],
    [`gsk_${draw("alnum", 51)} `, blanked("gsk_", 52)],
  ),
  "xai-api-key": known(
    "https://docs.x.ai/docs/tutorial",
    [`xai-${draw("alnum", 80)}`],
    [`xai-${draw("alnum", 79)} `, blanked("xai-", 80)],
  ),
  "hugging-face-token": known(
    "https://huggingface.co/docs/hub/security-tokens",
    [`hf_${draw("letters", 34)}`, `api_org_${draw("letters", 34)}`],
    [`hf_${draw("letters", 33)} `, blanked("hf_", 34), `hf_${draw("letters", 40)}`],
  ),
  "replicate-api-token": known(
    "https://replicate.com/docs/reference/http#authentication (40 characters that begin r8_)",
    [`r8_${draw("alnum", 37)}`],
    [
      `r8_${draw("alnum", 36)} `,
      blanked("r8_", 37),
      // What a model thought, sealed by its provider and sent back with every request: three characters are no mark in it.
      `"encrypted_content":"gAAAAA${draw("url", 90)}r8_${draw("alnum", 37)}${draw("url", 90)}"`,
      `"encrypted_content":"gAAAAA${draw("url", 90)}x_r8_${draw("alnum", 37)}"`,
      `"encrypted_content":"r8_${draw("alnum", 37)}-${draw("url", 90)}"`,
    ],
  ),
  "together-api-key": known(
    "https://docs.together.ai/docs/quickstart",
    [`tgp_v1_${draw("url", 43)}`],
    [`tgp_v1_${draw("url", 42)} `, blanked("tgp_v1_", 43)],
  ),
  "fireworks-api-key": known(
    "https://docs.fireworks.ai/api-reference/introduction",
    [`fw_${draw("alnum", 24)}`],
    [`fw_${draw("alnum", 30)}`, "fw_initializeFirmwareUpdate", blanked("fw_", 24)],
  ),
  "perplexity-api-key": known(
    "https://docs.perplexity.ai/guides/getting-started",
    [`pplx-${draw("alnum", 48)}`],
    [`pplx-${draw("alnum", 47)} `, blanked("pplx-", 48)],
  ),
  "openrouter-api-key": known(
    "https://openrouter.ai/docs/api-reference/authentication",
    [`sk-or-v1-${draw("hex", 64)}`],
    [`sk-or-v1-${draw("hex", 63)} `, blanked("sk-or-v1-", 64, "0")],
  ),
  "nvidia-api-key": known(
    "https://docs.api.nvidia.com/nim/docs/api-quickstart",
    [`nvapi-${draw("url", 64)}`],
    [`nvapi-${draw("url", 63)} `, blanked("nvapi-", 64)],
  ),
  "cerebras-api-key": known(
    "https://inference-docs.cerebras.ai/quickstart",
    [`csk-${draw("lower", 48)}`],
    [`csk-${draw("lower", 47)} `, blanked("csk-", 48)],
  ),
  "langsmith-api-key": known(
    "https://docs.smith.langchain.com/administration/how_to_guides/organization_management/create_account_api_key",
    [`lsv2_pt_${draw("hex", 32)}_${draw("hex", 10)}`, `lsv2_sk_${draw("hex", 32)}_${draw("hex", 10)}`],
    [shorter(`lsv2_pt_${draw("hex", 32)}_${draw("hex", 10)}`), blanked("lsv2_pt_", 43)],
  ),
  "unprefixed-model-key": named(
    "https://docs.mistral.ai/getting-started/quickstart",
    ["MISTRAL_API_KEY", "CO_API_KEY", "DEEPSEEK_API_KEY"],
    [draw("alnum", 32), draw("alnum", 40), `sk-${draw("hex", 32)}`],
    [
      draw("alnum", 32),
      "MISTRAL_API_KEY=your_mistral_api_key_goes_here_please",
      `MISTRAL_API_KEY=${draw("alnum", 20)}`,
      "const apiKey = process.env.MISTRAL_API_KEY;",
    ],
  ),
};
