/**
 * X.509 certificates (RFC 5280) as a bottle's own authority makes them: its own, and one for each host, all of P-256
 * keys. What they say is put together here; it is node that signs.
 */
import { createHash, type KeyObject, randomBytes, sign, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import {
  BIT_STRING,
  der,
  explicit,
  implicit,
  integer,
  OCTET_STRING,
  objectIdentifier,
  parts,
  sequence,
  set,
  TRUE,
  text,
  time,
} from "./der.ts";

/** The key pair of who is certified, or who certifies. */
export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** RFC 5280 allows 20; what is random in them makes no two alike. */
const SERIAL_BYTES = 16;
/** Of a P-256 key: a byte that says so, and two coordinates. They are the end of its SubjectPublicKeyInfo. */
const POINT_BYTES = 65;

const ECDSA_WITH_SHA256 = sequence(objectIdentifier("1.2.840.10045.4.3.2"));
const V3 = explicit(0, integer(2));

/** Signed by itself. It can sign leaves, and no other authority. */
export function signAuthority(
  names: { readonly commonName: string; readonly organization: string },
  keys: KeyPair,
  validity: Validity,
): X509Certificate {
  const subject = sequence(
    set(sequence(objectIdentifier("2.5.4.3"), text(names.commonName))),
    set(sequence(objectIdentifier("2.5.4.10"), text(names.organization))),
  );
  return signed(keys.privateKey, {
    ...{ issuer: subject, subject, validity, publicKey: keys.publicKey },
    extensions: [
      critical(BASIC_CONSTRAINTS, sequence(TRUE, integer(0))),
      critical(KEY_USAGE, keyUsage(KEY_CERT_SIGN | CRL_SIGN)),
      extension(SUBJECT_KEY_IDENTIFIER, der(OCTET_STRING, identifierOf(keys.publicKey))),
    ],
  });
}

/** @returns from a host, a name or an address, to a certificate for it and `publicKey`, valid for as long as its issuer. */
export function leafSigner(
  issuer: { readonly certificate: string; readonly key: KeyObject },
  publicKey: KeyObject,
): (host: string) => X509Certificate {
  const authority = new X509Certificate(issuer.certificate);
  const always = {
    // With the very bytes: there are clients that compare no more than those.
    issuer: subjectOf(authority),
    // The host is in the alternative name alone: a common name has room for 64 characters.
    subject: sequence(set(sequence(objectIdentifier("2.5.4.3"), text("bot-bottle")))),
    validity: { notBefore: new Date(authority.validFrom), notAfter: new Date(authority.validTo) },
    publicKey,
  };
  const extensions = [
    critical(BASIC_CONSTRAINTS, sequence()),
    critical(KEY_USAGE, keyUsage(DIGITAL_SIGNATURE)),
    extension(EXTENDED_KEY_USAGE, sequence(objectIdentifier(SERVER_AUTHENTICATION))),
    extension(AUTHORITY_KEY_IDENTIFIER, sequence(implicit(0, identifierOf(authority.publicKey)))),
  ];
  return (host) =>
    signed(issuer.key, {
      ...always,
      extensions: [...extensions, extension(SUBJECT_ALTERNATIVE_NAME, sequence(alternativeName(host)))],
    });
}

interface Statement {
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly validity: Validity;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Uint8Array[];
}

function signed(
  key: KeyObject,
  { issuer, subject, validity, publicKey, extensions }: Statement,
): X509Certificate {
  const serial = randomBytes(SERIAL_BYTES);
  // Positive, and never zero.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x01;
  const statement = sequence(
    ...[V3, integer(...serial), ECDSA_WITH_SHA256, issuer],
    sequence(time(validity.notBefore), time(validity.notAfter)),
    subject,
    publicKey.export({ type: "spki", format: "der" }),
    explicit(3, sequence(...extensions)),
  );
  const signature = sign("sha256", statement, key);
  return new X509Certificate(sequence(statement, ECDSA_WITH_SHA256, bitString(0, signature)));
}

/** It stands behind version, serial number, algorithm, issuer and validity. */
function subjectOf({ raw }: X509Certificate): Uint8Array {
  const [statement = Buffer.alloc(0)] = parts(raw);
  const subject = parts(statement)[5];
  if (subject === undefined) throw new Error("a certificate without a subject");
  return subject;
}

const BASIC_CONSTRAINTS = "2.5.29.19";
const KEY_USAGE = "2.5.29.15";
const EXTENDED_KEY_USAGE = "2.5.29.37";
const SUBJECT_ALTERNATIVE_NAME = "2.5.29.17";
const SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
const AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
const SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1";

function extension(id: string, value: Uint8Array): Buffer {
  return sequence(objectIdentifier(id), der(OCTET_STRING, value));
}

/** Who does not understand it refuses the certificate. */
function critical(id: string, value: Uint8Array): Buffer {
  return sequence(objectIdentifier(id), TRUE, der(OCTET_STRING, value));
}

/** Named bits count from the highest one down. */
const DIGITAL_SIGNATURE = 0x80;
const KEY_CERT_SIGN = 0x04;
const CRL_SIGN = 0x02;

function keyUsage(bits: number): Buffer {
  return bitString(31 - Math.clz32(bits & -bits), Buffer.of(bits));
}

/** @param unused how many bits of the last byte do not count. */
function bitString(unused: number, bytes: Uint8Array): Buffer {
  return der(BIT_STRING, Buffer.of(unused), bytes);
}

/** The first way of RFC 5280, section 4.2.1.2. */
function identifierOf(publicKey: KeyObject): Uint8Array {
  const point = publicKey.export({ type: "spki", format: "der" }).subarray(-POINT_BYTES);
  return createHash("sha1").update(point).digest();
}

function alternativeName(host: string): Buffer {
  switch (isIP(host)) {
    case 4:
      return implicit(7, Buffer.from(host.split(".").map(Number)));
    case 6:
      return implicit(7, ipv6Bytes(host));
    default:
      return implicit(2, Buffer.from(host, "ascii"));
  }
}

function ipv6Bytes(host: string): Buffer {
  // No more than groups of digits, and zeros left out once, is in it then.
  const canonical = new URL(`http://[${host}]`).hostname.slice(1, -1);
  const [front = [], back = []] = canonical
    .split("::")
    .map((part) => part.split(":").map((group) => Number.parseInt(group || "0", 16)));
  const groups = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  return Buffer.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}
