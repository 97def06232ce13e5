import { isMixedCase } from "../checks/randomness.ts";
import type { Detector } from "../detector.ts";
import { standalone, upTo } from "./patterns.ts";

/** Keys to hosted databases. Passwords inside connection strings are in connections.ts. */
export const DATABASES: readonly Detector[] = [
  {
    id: "planetscale-token",
    title: "PlanetScale token or password",
    group: "database",
    trigger: { kind: "keyword", keywords: ["pscale_tkn_", "pscale_pw_", "pscale_oauth_"] },
    pattern: "pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,64}",
    minEntropy: 4,
    source: "https://planetscale.com/docs/concepts/service-tokens",
  },
  {
    id: "neon-api-key",
    title: "Neon API key",
    group: "database",
    trigger: { kind: "keyword", keywords: ["napi_"] },
    pattern: "(?<![A-Za-z0-9_])napi_[a-z0-9]{64}(?![A-Za-z0-9_])",
    minEntropy: 3.5,
    source: "https://neon.com/docs/manage/api-keys",
  },
  {
    id: "mongodb-atlas-secret",
    title: "MongoDB Atlas service account secret",
    group: "database",
    trigger: { kind: "keyword", keywords: ["mdb_sa_sk_"] },
    pattern: `mdb_sa_sk_${upTo("mdb_sa_sk_", "[A-Za-z0-9_-]", 36, 44)}`,
    minEntropy: 4,
    source: "https://www.mongodb.com/docs/atlas/api/service-accounts-overview/",
  },
  {
    id: "clickhouse-cloud-secret",
    title: "ClickHouse Cloud API secret",
    group: "database",
    trigger: { kind: "keyword", keywords: ["4b1d"] },
    pattern: standalone("4b1d[A-Za-z0-9]{38}"),
    check: isMixedCase,
    source: "https://clickhouse.com/docs/cloud/manage/openapi",
  },
  {
    id: "cockroachdb-cloud-key",
    title: "CockroachDB Cloud API key",
    group: "database",
    trigger: { kind: "keyword", keywords: ["CCDB1_"] },
    pattern: "CCDB1_[A-Za-z0-9]{22}_[A-Za-z0-9]{40}",
    minEntropy: 4,
    source: "https://www.cockroachlabs.com/docs/cockroachcloud/managing-access#api-access",
  },
  {
    id: "pinecone-key",
    title: "Pinecone API key",
    group: "database",
    trigger: { kind: "keyword", keywords: ["pcsk_"] },
    pattern: "pcsk_[A-Za-z0-9]{5,6}_[A-Za-z0-9]{60,66}",
    minEntropy: 4,
    source: "https://docs.pinecone.io/guides/projects/manage-api-keys",
  },
];
