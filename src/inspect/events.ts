/** How the sweep notes what it noticed, in 32 bits. */

/**
 * The kinds of events, in the two lowest bits below the index of the word. MARK: in the word begins what may be a
 * disguise. RUN: a run has become long enough; the next entry says of which classes.
 */
export const MARK = 2;
export const RUN = 3;
