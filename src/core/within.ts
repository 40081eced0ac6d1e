/** A bound on waiting for work that belongs to this request; the work itself is left alone. */

/** What the work gives, or undefined after `limitMs`. A failure that comes too late goes unheard on purpose. */
export async function within<T>(work: Promise<T>, limitMs: number): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const tooLate = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), limitMs);
  });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, tooLate]);
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}
