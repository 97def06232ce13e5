/** A promise and the two ways it settles, for who settles it elsewhere. Node 20 has no `Promise.withResolvers`. */
export interface Pending<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export function pending<T>(): Pending<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  // Whether anybody waits is not known here.
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/**
 * Waits for an answer from something that may end, or never say a word. @returns the answer, or why there is none:
 * an answer that is a text is itself a reason.
 */
export async function answerWithin(
  answer: Promise<string | undefined>,
  ended: Promise<string>,
  milliseconds: number,
): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer within ${milliseconds} ms`), milliseconds);
  });
  const failure = await Promise.race([answer, ended, deadline]);
  clearTimeout(timer);
  return failure;
}
