/** When a refused call might find room: one turn of the slots per queue's worth of calls before it. Pure. */

const RETRY_MIN_MS = 200;
const RETRY_MAX_MS = 60_000;
/** What an attempt is taken to last until one has been measured. */
const SERVICE_GUESS_MS = 2_000;

export function retryAfterMs(queued: number, slots: number, serviceMs: number | undefined): number {
  const turns = (queued + 1) / Math.max(1, slots);
  const estimate = turns * (serviceMs ?? SERVICE_GUESS_MS);
  return Math.round(Math.min(RETRY_MAX_MS, Math.max(RETRY_MIN_MS, estimate)));
}
