import { draw } from "./draw.ts";
import type { SecretExample } from "./example.ts";

const POSTGRES = "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS";
const password = draw("alnum", 16);

/** A URL from its parts, so that none stands in this file. */
function url(scheme: string, user: string, secret: string, rest: string): string {
  return `${scheme}://${user}:${secret}@${rest}`;
}

export const CONNECTION_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "database-url": {
    page: POSTGRES,
    secrets: [
      ["postgres", "app"],
      ["postgresql", "app"],
      ["postgresql+asyncpg", "app"],
      ["mysql", "root"],
      ["mongodb+srv", "svc"],
      ["redis", ""],
      ["rediss", "default"],
      ["amqps", "queue"],
      ["mssql", "sa"],
    ].map(([scheme = "", user = ""]) => url(scheme, user, password, "db.corp-internal.net")),
    carriers: [
      (secret) => `DATABASE_URL=${secret}/app?sslmode=require\n`,
      (secret) => `{"url": "${secret}/0"}`,
    ],
    nearMisses: [
      url("postgres", "user", "password", "db.corp-internal.net/app"),
      url("postgres", "app", password, "localhost:5432/app"),
      url("postgres", "app", password, "db:5432/app"),
      url("mysql", "root", password, "127.0.0.1/app"),
      url("mongodb", "me", password, "db.example.com/app"),
      url("postgres", "app", `\${DB_PASSWORD}`, "db.corp-internal.net/app"),
      url("redis", "", "<password>", "cache.corp-internal.net"),
      "postgres://db.corp-internal.net/app",
      url("mysql", "wordpress", "wordpress", "db.corp-internal.net/wp"),
    ],
  },
  "jdbc-url": {
    page: "https://dev.mysql.com/doc/connector-j/en/connector-j-reference-jdbc-url-format.html",
    secrets: [password],
    carriers: [
      (secret) => `jdbc:postgresql://db.corp-internal.net:5432/app?user=app&password=${secret}&ssl=true`,
      (secret) =>
        `spring.datasource.url=jdbc:sqlserver://db.corp-internal.net:1433;user=sa;password=${secret};encrypt=true\n`,
    ],
    nearMisses: [
      "jdbc:postgresql://localhost/test?user=fred&password=secret&ssl=true",
      "jdbc:mysql://db.corp-internal.net:3306/app",
    ],
  },
  "connection-string": {
    page: "https://www.connectionstrings.com/sql-server/",
    secrets: [password],
    carriers: [
      (secret) =>
        `Server=tcp:app.database.windows.net,1433;Initial Catalog=app;User ID=app;Password=${secret};Encrypt=True;`,
      (secret) => `Data Source=db.corp-internal.net;Initial Catalog=app;User Id=app;Pwd=${secret};`,
      (secret) => `"Host=db.corp-internal.net;Username=app;Password=${secret}"`,
    ],
    nearMisses: [
      "Server=myServerAddress;Database=myDataBase;User Id=myUsername;Password=myPassword;",
      "Server=(localdb)\\mssqllocaldb;Database=app;Trusted_Connection=True;",
      "host=localhost; password=secret",
    ],
  },
  "url-credential": {
    page: "https://datatracker.ietf.org/doc/html/rfc3986#section-3.2.1",
    secrets: [
      url("https", "deployer", password, "git.corp-internal.net"),
      url("https", "x-access-token", password, "github.com"),
    ],
    carriers: [
      (secret) => `git clone ${secret}/team/app.git\n`,
      (secret) => `"registry": "${secret}/simple/"`,
    ],
    nearMisses: [
      url("https", "user", "pass", "example.com/"),
      url("https", "user", "password123", "git.corp-internal.net"),
      url("http", "admin", password, "localhost:8080/"),
      url("https", "user", "$TOKEN", "github.com/a/b.git"),
      "https://example.org/a:b@c",
      "https://medium.com/@somebody/an-article-1234567890ab",
      "https://foo.com:123,foo:bar4@bar.com",
      "see http://host:8080/path?mail=me1@example.org",
    ],
  },
  "netrc-password": {
    page: "https://everything.curl.dev/usingcurl/netrc.html",
    secrets: [password],
    carriers: [
      (secret) => `machine api.corp-internal.net login app password ${secret}\n`,
      (secret) => `machine api.corp-internal.net\n  login app\n  password ${secret}\n`,
    ],
    nearMisses: [
      "machine example.com login daniel password qwerty\n",
      "the machine can login without a password of its own",
    ],
  },
};
