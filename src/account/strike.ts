/**
 * Which attempts of a request that waits for its receipt never began: no beat ever named them, and every node that could have had their
 * call has said that it has named all it accepted through the call's last valid moment. Pure.
 *
 * For attempt 0 nobody noted which node was called, so every node of the regions it was allowed must have said so; the later ones were
 * named with their node. A node that is asked about and does not answer proves nothing: then the wait goes on.
 */
import { CALL_VALID_MS } from "@sluice/protocol/limits";
import { isRefused, isUnheard, lastWord, type Attempt, type Hold } from "./facts.ts";

/** What a region's object says of its nodes; undefined where it did not answer. */
export type Promises = readonly { readonly node: string; readonly throughMs: number }[] | undefined;

/**
 * When it is time to ask the regions about a hold: at its lapse, or, where its end has been told, as soon as the call
 * nobody has heard of cannot begin any more. (A node that was killed is called once more, and does not listen yet.)
 */
export function strikableFromMs(hold: Hold): number {
  const issuedAtMs = closingAttempt(hold)?.issuedAtMs ?? null;
  if (lastWord(hold) === null || issuedAtMs === null) return hold.lapseAtMs;
  return Math.min(hold.lapseAtMs, issuedAtMs + CALL_VALID_MS);
}

function closingAttempt(hold: Hold): Attempt | undefined {
  return hold.attempts.findLast((attempt) => !isRefused(attempt));
}

/** Worth asking the regions about: what holds it up is an attempt nobody has heard of, and nobody should any more. */
export function isStrikable(hold: Hold, nowMs: number): boolean {
  if (hold.state === "closed" || nowMs < strikableFromMs(hold)) return false;
  const open = closingAttempt(hold);
  return open !== undefined && open.receipt === null && isUnheard(hold, open);
}

/** The ordinals that never began. `promises` has an entry for every region where the request may have run. */
export function struckOut(hold: Hold, promises: ReadonlyMap<string, Promises>): ReadonlySet<number> {
  const struck = new Set<number>();
  for (const attempt of hold.attempts) {
    if (!isUnheard(hold, attempt)) continue;
    const lastValidMs = issuedByMs(hold, attempt) + CALL_VALID_MS;
    if (
      attempt.node === null
        ? allThrough(hold, promises, lastValidMs)
        : nodeThrough(promises, attempt, lastValidMs)
    )
      struck.add(attempt.ordinal);
  }
  return struck;
}

/** When its call was issued at the latest: as it was told, or within the time given for it. */
function issuedByMs(hold: Hold, { ordinal, issuedAtMs }: Attempt): number {
  if (issuedAtMs !== null) return issuedAtMs;
  // A call in between that nobody told of was issued before the one after it was heard of, and so before the lapse.
  return ordinal === 0 ? hold.issueByMs : hold.lapseAtMs;
}

function allThrough(
  { regions }: Hold,
  promises: ReadonlyMap<string, Promises>,
  lastValidMs: number,
): boolean {
  return (regions ?? [...promises.keys()]).every(
    (region) => promises.get(region)?.every((node) => node.throughMs >= lastValidMs) === true,
  );
}

function nodeThrough(
  promises: ReadonlyMap<string, Promises>,
  attempt: Attempt,
  lastValidMs: number,
): boolean {
  const nodes = promises.get(attempt.region ?? "");
  const node = nodes?.find((candidate) => candidate.node === attempt.node);
  return node !== undefined && node.throughMs >= lastValidMs;
}
