/** A certificate authority of one test run, and its certificate as a file for programs that want one. */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../demo/upstreams/certificate-authority.ts";

export interface TestCa extends CertificateAuthority {
  /** PEM on disk, readable by every user. */
  readonly file: string;
  remove(): Promise<void>;
}

export async function makeTestCa(name = "bot-bottle test CA"): Promise<TestCa> {
  const authority = await makeCertificateAuthority(name);
  const dir = await mkdtemp(join(tmpdir(), "test-ca-"));
  const file = join(dir, "ca.pem");
  await writeFile(file, authority.certificate, { mode: 0o644 });
  await chmod(dir, 0o755);
  return { ...authority, file, remove: () => rm(dir, { recursive: true, force: true }) };
}
