/** How many fields a block of HPACK has (RFC 7541), by their lengths alone. It may come in any pieces. */

/** What the next byte is. */
type Next =
  /** The first of a field, or of a change to the table's size. */
  | "field"
  /** More of a number that says which entry of the table is meant. */
  | "index"
  | "string"
  /** More of a string's length. */
  | "length"
  | "bytes";

/** Of a number's continuation: longer strings than 2^28 no library takes. */
const MOST_SHIFT = 28;

export class FieldCounter {
  /** Fields that have begun. */
  count = 0;
  #next: Next = "field";
  /** Of this field, still to come. */
  #strings = 0;
  #length = 0;
  #shift = 0;

  begin(): void {
    this.count = 0;
    this.#next = "field";
  }

  push(block: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to; ) {
      if (this.#next === "bytes") {
        const step = Math.min(this.#length, to - at);
        this.#length -= step;
        at += step;
        if (this.#length === 0) this.#goOn();
      } else this.#read(block[at++] ?? 0);
    }
  }

  #read(byte: number): void {
    switch (this.#next) {
      case "field":
        this.#beginField(byte);
        return;
      case "index":
        if (byte < 0x80) this.#goOn();
        return;
      case "string":
        this.#length = byte & 0x7f;
        this.#shift = 0;
        if (this.#length === 0x7f) this.#next = "length";
        else this.#beginBytes();
        return;
      case "length":
        if (this.#shift <= MOST_SHIFT) this.#length += (byte & 0x7f) * 2 ** this.#shift;
        this.#shift += 7;
        if (byte < 0x80) this.#beginBytes();
        return;
      case "bytes":
    }
  }

  #beginField(byte: number): void {
    const isIndexed = byte >= 0x80;
    const isKept = !isIndexed && byte >= 0x40;
    const isSize = !isIndexed && !isKept && byte >= 0x20;
    const most = isIndexed ? 0x7f : isKept ? 0x3f : isSize ? 0x1f : 0x0f;
    const index = byte & most;
    if (!isSize) this.count += 1;
    // A field that names no entry brings its own name.
    this.#strings = isIndexed || isSize ? 0 : index === 0 ? 2 : 1;
    if (index === most) this.#next = "index";
    else this.#goOn();
  }

  #beginBytes(): void {
    this.#strings -= 1;
    if (this.#length > 0) this.#next = "bytes";
    else this.#goOn();
  }

  #goOn(): void {
    this.#next = this.#strings > 0 ? "string" : "field";
  }
}
