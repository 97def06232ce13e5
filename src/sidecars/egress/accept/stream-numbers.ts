/**
 * Requests over HTTP/2 that node's library refuses by itself, because their fields are not what HTTP/2 allows. It resets
 * their streams and tells nobody; all that can be seen of them is that their numbers were used.
 */

/** The first a client gives (RFC 9113, section 5.1.1); then every second one. */
const FIRST = 1;

export class StreamNumbers {
  #next = FIRST;

  /** A request came. @returns whether there were others before it that nobody heard of. */
  came(number: number): boolean {
    const isMissing = number > this.#next;
    this.#next = Math.max(this.#next, number + 2);
    return isMissing;
  }

  /** @param number the last that the library has taken in. @returns whether nobody heard of it. */
  taken(number: number): boolean {
    const isMissing = number >= this.#next;
    this.#next = Math.max(this.#next, number + 2);
    return isMissing;
  }
}
