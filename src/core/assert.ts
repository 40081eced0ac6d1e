/** Programmer errors stop here: a broken invariant is never a client's fault and never goes on silently. */
export function assert(condition: unknown, claim: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${claim}`);
}
