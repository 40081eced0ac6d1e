/** How long to wait before starting a crashed engine again: at once the first time, then longer, never for ever. Pure. */
export const RESTART_DELAY_MAX_MS = 10_000;
/** An engine that lived this long has not crashed because of its start. */
export const HEALTHY_AFTER_MS = 30_000;

export function restartDelayMs(crashesInARow: number): number {
  if (crashesInARow <= 1) return 0;
  return Math.min(RESTART_DELAY_MAX_MS, 250 * 2 ** Math.min(crashesInARow - 2, 10));
}
