/** Fills a beat up to its byte limit: receipts first, because they are money; then renewals. Pure. */
import { BEAT_BYTES_MAX } from "@sluice/protocol/limits";

/** Everything of a beat that is neither receipt nor renewal fits in here, models included. */
const FRAME_BYTES = 128 * 1024;

/** JSON inside JSON: every quote in it costs one byte more. */
function bytesOf(part: unknown): number {
  return Buffer.byteLength(JSON.stringify(part)) + 1;
}

export function fill<Receipt, Renewal>(
  receipts: readonly Receipt[],
  renewals: readonly Renewal[],
  print: { readonly receipt: (receipt: Receipt) => unknown; readonly renewal: (renewal: Renewal) => unknown },
): { readonly receipts: readonly Receipt[]; readonly renewals: readonly Renewal[] } {
  let left = BEAT_BYTES_MAX - FRAME_BYTES;
  const fits = (part: unknown): boolean => (left -= bytesOf(part)) >= 0;
  // Each begins where the last ended: what does not fit is the oldest of the next beat.
  const whole = <Part>(parts: readonly Part[], what: (part: Part) => unknown): readonly Part[] => {
    const over = parts.findIndex((part) => !fits(what(part)));
    return over < 0 ? parts : parts.slice(0, over);
  };
  return { receipts: whole(receipts, print.receipt), renewals: whole(renewals, print.renewal) };
}
