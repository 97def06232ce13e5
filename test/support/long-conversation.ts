/**
 * A day's talk between a developer and a coding agent about keys, tokens and passwords, in which none is told:
 * placeholders, published examples, patterns, variable names, hashes and code. Written for this test.
 */
const TALK = `
Can you rotate our keys? The old Anthropic key starts with sk-ant-api03- and the new one must go into .env as
ANTHROPIC_API_KEY=sk-ant-api03-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; never commit it. OpenAI keys look like sk-proj-... or, older,
sk-... with T3BlbkFJ in the middle (that is "OpenAI" in base64). Put OPENAI_API_KEY=\${OPENAI_API_KEY} into docker-compose.yml.

Sure. Here is how I would read them, failing early when one is missing:

\`\`\`ts
const apiKey = process.env.ANTHROPIC_API_KEY ?? fail("set ANTHROPIC_API_KEY");
const openai = new OpenAI({ apiKey: process.env["OPENAI_API_KEY"], organization: "org-..." });
const stripe = new Stripe(process.env.STRIPE_SECRET_KEY!, { apiVersion: "2024-06-20" });
const github = new Octokit({ auth: \`token \${process.env.GITHUB_TOKEN}\` });
if (!/^gh[pousr]_[A-Za-z0-9]{36}$/.test(token)) throw new Error("that is not a GitHub token");
if (/AKIA[A-Z2-7]{16}/.test(text) || text.includes("-----BEGIN RSA PRIVATE KEY-----")) reject(text);
\`\`\`

The documentation of AWS uses AKIAIOSFODNN7EXAMPLE and wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY everywhere:

[default]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
aws_session_token = <paste it here>

For GitHub write ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, for GitLab glpat-xxxxxxxxxxxxxxxxxxxx, for npm
//registry.npmjs.org/:_authToken=\${NPM_TOKEN}, for PyPI pypi-AgEIcHlwaS5vcmcxxxxxxxx, for Slack xoxb-your-token and
https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX, for SendGrid SG.xxxx.yyyy, for Twilio
TWILIO_AUTH_TOKEN=your_auth_token, for Hugging Face hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, for Google AIzaSyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX.

Which database URL do the tests use? postgres://postgres:postgres@localhost:5432/test, in CI postgres://user:password@db:5432/app,
in the README mysql://root:root@127.0.0.1/shop, mongodb://admin:secret@mongo:27017, redis://:password@redis:6379/0 and
amqp://guest:guest@rabbitmq:5672. Production takes DATABASE_URL from the vault: postgres://\${DB_USER}:\${DB_PASSWORD}@\${DB_HOST}/app, or
jdbc:postgresql://localhost/test?user=fred&password=secret, or Server=myServerAddress;Database=myDataBase;User Id=me;Password=myPassword;
and a proxy as http://user:pass@proxy.example.com:8080. Never https://user:token@github.com/owner/repo.git, use a credential helper.

And the private key? It starts with "-----BEGIN PRIVATE KEY-----" and ends with "-----END PRIVATE KEY-----"; between them is
base64 (MIIEvQIBADANBgkqhkiG9w0BAQEF... for RSA). "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXktdjEAAAAA...\\n-----END OPENSSH PRIVATE KEY-----"
is OpenSSH's. The public half is fine to show: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@laptop

What does our JWT look like? Like the one on jwt.io:
eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c
Its header is eyJhbGciOiJIUzI1NiJ9, that is {"alg":"HS256"}. Do not accept {"alg":"none"}.

The checkout tests pay with 4242 4242 4242 4242, 5555-5555-5555-4444 and 378282246310005, expiry 12/34, CVC 123; the bank transfer
goes to DE89 3704 0044 0532 0130 00 or GB29 NWBK 6016 1331 9268 19. The order number was 4539148803436467201, the phone +49 30 901820, the invoice
2024-0001-0002-0003, the tracking number 00340434161094021501, the ISBN 978-3-16-148410-0, the VAT id DE123456789.

The wallet test uses "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about", and hardhat's
"test test test test test test test test test test test junk" with 0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80. A seed
phrase is twelve or twenty four words from a public list; please never paste yours into a chat, a ticket, a file or a photo.

Deployed: commit 9fceb02d0ae598e95dc970b74767f19372d61af8, image sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae, integrity
sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==, build 7d444840-9dc0-11d1-b245-5ffdc
e74fad2, trace 4bf92f3577b34da6a3ce929d0e0e4736, etag "33a64df551425fcc55e4d42a148795d9f25f89d4", csrf token Zm9vYmFyYmF6cXV4.

It failed with: HTTP 401 {"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}. The header was
"x-api-key: sk-ant-api03-…" and "authorization: Bearer $TOKEN". In the logs: api_key=***REDACTED***, password=********, secret=[FILTERED],
token=<nil>, "client_secret":"********-****-****-****-************", DD_API_KEY=<your api key>, SENTRY_DSN=https://public@o0.ingest.sentry.io/0.
`;

/** The talk as the Messages API gets it on its last turn: all turns before it, again and again. */
export function longConversation(turns: number): string {
  const parts = TALK.trim().split("\n\n");
  const messages = Array.from({ length: turns }, (_, i) => ({
    role: i % 2 === 0 ? "user" : "assistant",
    content: [{ type: "text", text: parts[i % parts.length] }],
  }));
  const tools = [{ name: "bash", description: "Runs a command", input_schema: { type: "object" } }];
  return JSON.stringify({ model: "claude", max_tokens: 4096, stream: true, tools, messages });
}

/** The talk as it was typed. */
export function talk(): string {
  return TALK;
}
