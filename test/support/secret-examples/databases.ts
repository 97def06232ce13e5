import { blanked, draw } from "./draw.ts";
import { known, type SecretExample } from "./example.ts";

export const DATABASE_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "planetscale-token": known(
    "https://planetscale.com/docs/api/reference/service-tokens",
    ["pscale_tkn_", "pscale_pw_", "pscale_oauth_"].map((prefix) => prefix + draw("url", 43)),
    [blanked("pscale_pw_", 43), `pscale_tkn_${draw("url", 20)}`],
  ),
  "neon-api-key": known(
    "https://neon.com/docs/manage/api-keys",
    [`napi_${draw("lower", 64)}`],
    [
      `napi_${draw("lower", 63)}`,
      blanked("napi_", 64),
      "napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &result)",
    ],
  ),
  "mongodb-atlas-secret": known(
    "https://www.mongodb.com/docs/atlas/configure-api-access/",
    [`mdb_sa_sk_${draw("url", 40)}`],
    [blanked("mdb_sa_sk_", 40), `mdb_sa_id_${draw("hex", 24)}`],
  ),
  "clickhouse-cloud-secret": known(
    "https://clickhouse.com/docs/cloud/manage/openapi",
    [`4b1d${draw("alnum", 38)}`],
    [`4b1d${draw("hex", 38)}`, `4b1d${draw("alnum", 60)}`, `${draw("hex", 20)}4b1d${draw("hex", 40)}`],
  ),
  "cockroachdb-cloud-key": known(
    "https://www.cockroachlabs.com/docs/cockroachcloud/cloud-api#call-the-api",
    [`CCDB1_${draw("alnum", 22)}_${draw("alnum", 40)}`],
    [`CCDB1_${draw("alnum", 22)}_${draw("alnum", 39)} `, blanked("CCDB1_", 63)],
  ),
  "pinecone-key": known(
    "https://docs.pinecone.io/guides/projects/manage-api-keys",
    [`pcsk_${draw("alnum", 5)}_${draw("alnum", 63)}`],
    [`pcsk_${draw("alnum", 5)}_${draw("alnum", 50)} `, `pcsk_xxxxx_${"x".repeat(63)}`],
  ),
};
