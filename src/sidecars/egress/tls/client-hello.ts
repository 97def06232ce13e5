/**
 * The first message of TLS, read before anything is answered: it says in clear which host the client wants,
 * and that must be the one it named to CONNECT. Hostile bytes: every length is checked against what is there.
 */

export type Hello =
  | { readonly kind: "incomplete" }
  | { readonly kind: "not-tls" }
  | {
      readonly kind: "hello";
      /** As sent; undefined when the client named none. */
      readonly serverName: string | undefined;
      /** It carries an encrypted hello, which may name another host to whoever can open it. */
      readonly encrypted: boolean;
    };

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const MAX_RECORD_BYTES = 16_384;
const SERVER_NAME = 0;
const HOST_NAME = 0;
const ENCRYPTED_CLIENT_HELLO = 0xfe0d;

const INCOMPLETE: Hello = { kind: "incomplete" };
const NOT_TLS: Hello = { kind: "not-tls" };

/** Reads what `bytes` begins with. */
export function readHello(bytes: Buffer): Hello {
  const message = handshakeMessage(bytes);
  if (!Buffer.isBuffer(message)) return message;
  try {
    return parse(new Cursor(message));
  } catch (error) {
    if (error instanceof RangeError) return NOT_TLS;
    throw error;
  }
}

/** The body of the ClientHello, which may be spread over several records. */
function handshakeMessage(bytes: Buffer): Buffer | Hello {
  const fragments: Buffer[] = [];
  let have = 0;
  for (let at = 0; ; ) {
    if (bytes.length > at && bytes[at] !== HANDSHAKE_RECORD) return NOT_TLS;
    if (bytes.length > at + 1 && bytes[at + 1] !== 3) return NOT_TLS;
    if (bytes.length < at + 5) return INCOMPLETE;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > MAX_RECORD_BYTES) return NOT_TLS;
    const fragment = bytes.subarray(at + 5, at + 5 + length);
    fragments.push(fragment);
    have += fragment.length;
    const message = fragments.length === 1 ? fragment : Buffer.concat(fragments);
    if (have > 0 && message[0] !== CLIENT_HELLO) return NOT_TLS;
    if (have >= 4) {
      const end = 4 + message.readUIntBE(1, 3);
      if (have >= end) return message.subarray(4, end);
    }
    if (fragment.length < length) return INCOMPLETE;
    at += 5 + length;
  }
}

function parse(hello: Cursor): Hello {
  hello.skip(2 + 32);
  hello.skip(hello.uint8());
  hello.skip(hello.uint16());
  hello.skip(hello.uint8());
  let serverName: string | undefined;
  let named = false;
  let encrypted = false;
  const extensions = hello.atEnd ? hello : hello.nested(hello.uint16());
  while (!extensions.atEnd) {
    const type = extensions.uint16();
    const body = extensions.nested(extensions.uint16());
    if (type === ENCRYPTED_CLIENT_HELLO) encrypted = true;
    if (type !== SERVER_NAME) continue;
    // Two names would leave it to each reader which one counts.
    if (named) return NOT_TLS;
    named = true;
    const list = body.nested(body.uint16());
    if (list.uint8() !== HOST_NAME) return NOT_TLS;
    serverName = list.text(list.uint16());
    if (!list.atEnd || !body.atEnd) return NOT_TLS;
  }
  return { kind: "hello", serverName, encrypted };
}

/** Reads forward; `RangeError` past the end. */
class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  uint8(): number {
    return this.#take(1).readUInt8();
  }

  uint16(): number {
    return this.#take(2).readUInt16BE();
  }

  text(length: number): string {
    return this.#take(length).toString("latin1");
  }

  nested(length: number): Cursor {
    return new Cursor(this.#take(length));
  }

  skip(length: number): void {
    this.#take(length);
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new RangeError("past the end");
    const part = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return part;
  }
}
