/** What a provider says its secret looks like, written without looking at the detector's pattern. */
export interface SecretExample {
  /** Page that documents the shape, or prints the value. Not the detector's own source where there are two. */
  readonly page: string;
  /** Secrets that must be found, each exactly. Put together here, so that no file holds one. */
  readonly secrets: readonly string[];
  /** Text around the secret without which it is not one: `TWILIO_AUTH_TOKEN=` and such. Default: none needed. */
  readonly carriers?: readonly ((secret: string) => string)[];
  /** Texts that come close and must not be found. */
  readonly nearMisses: readonly string[];
}

/** An example whose secret is known by its own form. */
export function known(
  page: string,
  secrets: readonly string[],
  nearMisses: readonly string[],
): SecretExample {
  return { page, secrets, nearMisses };
}

/** An example that only its name gives away: in a shell, in JSON, in YAML, in a header. */
export function named(
  page: string,
  names: readonly string[],
  secrets: readonly string[],
  nearMisses: readonly string[],
): SecretExample {
  const carriers = names.flatMap((name) => [
    (secret: string) => `export ${name}=${secret}\n`,
    (secret: string) => `{"${name}": "${secret}", "region": "eu"}`,
    (secret: string) => `${name}: '${secret}'\nother: 1\n`,
  ]);
  return { page, secrets, carriers, nearMisses };
}
