/**
 * A pipelock's configuration as the real one reads it: one YAML document, and no key that it does not know. Keys as
 * docs/configuration.md and internal/config of its repository have them (2.3).
 */
import { readFileSync, statSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import * as z from "zod";

const texts = z.array(z.string());

const schema = z.strictObject({
  version: z.literal(1),
  mode: z.enum(["strict", "balanced", "audit"]),
  enforce: z.boolean().default(true),
  explain_blocks: z.boolean().optional(),
  api_allowlist: texts,
  fetch_proxy: z.strictObject({
    listen: z.string(),
    timeout_seconds: z.number().optional(),
    max_response_mb: z.number().optional(),
    user_agent: z.string().optional(),
    monitoring: z
      .strictObject({
        max_url_length: z.number().default(2048),
        entropy_threshold: z.number().positive().optional(),
        max_requests_per_minute: z.number().default(60),
        max_data_per_minute: z.number().optional(),
        blocklist: texts.optional(),
        subdomain_entropy_exclusions: texts.optional(),
      })
      .prefault({}),
  }),
  forward_proxy: z.strictObject({
    enabled: z.boolean(),
    max_tunnel_seconds: z.number().positive().optional(),
    idle_timeout_seconds: z.number().positive().optional(),
    sni_verification: z.boolean().default(true),
    redirect_websocket_hosts: texts.optional(),
  }),
  tls_interception: z.strictObject({
    enabled: z.boolean(),
    ca_cert: z.string(),
    ca_key: z.string(),
    passthrough_domains: texts,
    cert_ttl: z.string().optional(),
    cert_cache_size: z.number().optional(),
    max_response_bytes: z.number().positive().default(5_242_880),
  }),
  request_body_scanning: z.strictObject({
    enabled: z.boolean(),
    action: z.enum(["warn", "block"]),
    max_body_bytes: z.number().positive(),
    scan_headers: z.boolean(),
    header_mode: z.enum(["sensitive", "all"]),
    sensitive_headers: texts.optional(),
    ignore_headers: texts.default([]),
  }),
  dlp: z.strictObject({
    scan_env: z.boolean(),
    secrets_file: z.string().optional(),
    min_env_secret_length: z.number().optional(),
    include_defaults: z.boolean(),
    patterns: z.array(z.unknown()).optional(),
  }),
  ssrf: z.strictObject({ ip_allowlist: texts }),
  logging: z.strictObject({
    format: z.enum(["json", "text"]),
    output: z.enum(["stdout", "file", "both"]),
    file: z.string().optional(),
    include_allowed: z.boolean(),
    include_blocked: z.boolean(),
  }),
});

export type Settings = z.infer<typeof schema>;

/** @throws Error as pipelock would word it. */
export function readSettings(path: string): Settings {
  for (const file of [path]) mustBePrivate(file);
  const documents = parseAllDocuments(readFileSync(path, "utf8"));
  const [document, ...more] = Array.isArray(documents) ? documents : [];
  if (document === undefined || more.length > 0) throw new Error("config must be one YAML document");
  const [fault] = document.errors;
  if (fault !== undefined) throw new Error(`yaml: ${fault.message}`);
  const parsed = schema.safeParse(document.toJS());
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const keys = issue?.code === "unrecognized_keys" ? ` field ${issue.keys.join(", ")} not found` : "";
    throw new Error(`config ${issue?.path.join(".")}:${keys || ` ${issue?.message}`}`);
  }
  mustBePrivate(parsed.data.tls_interception.ca_key);
  return parsed.data;
}

function mustBePrivate(file: string): void {
  if ((statSync(file).mode & 0o077) !== 0) throw new Error(`${file} can be read by others`);
}
