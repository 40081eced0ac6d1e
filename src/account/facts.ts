/**
 * Everything an account knows of one request: what it was admitted for, and of each attempt what words, receipts and
 * beats have said. Pure. Each `note...` adds one message and may be given it again: what is known already changes
 * nothing, and no order of arrival changes the sum. close.ts reads the result.
 *
 * Invariants: `attempts[n]` is the attempt with ordinal n, and there is always one, because the admission names it; a word
 * or receipt, once noted, is never replaced by a second one of its ordinal.
 */
import type {
  AdmitAsk,
  CheckedReceipt,
  Counted,
  ExtendAsk,
  Flagged,
  NextCall,
  Overrun,
  Word,
  WordWhy,
} from "@sluice/protocol/account";
import type { AttemptTrace, Certainty } from "@sluice/protocol/account-log";
import { isUpstreamId } from "@sluice/protocol/ids";
import type { Ending, Receipt } from "@sluice/protocol/receipt";
import type { Signed } from "@sluice/protocol/sign";
import type { PriceRow } from "@sluice/protocol/ticket";
import type { Grants } from "./grants.ts";
import { repeatName } from "./repeat-name.ts";

export type KnownWord = {
  readonly why: WordWhy;
  /** With `timeout`, where the Worker said which. */
  readonly limit?: Overrun;
  /** With `node_failed`: what the node said of it; with `answered`: how it ended. */
  readonly ended?: Ending;
  readonly seenTo: number;
  readonly prompt: number;
  readonly cached: number;
  readonly reasoning?: number;
  /** Of an attempt at an upstream: it is settled by this word. */
  readonly counted?: Counted;
  /** The request ended here. */
  readonly last: boolean;
  readonly atMs: number;
};

export type KnownReceipt = {
  readonly to: number;
  readonly ended: Ending;
  readonly prompt: number;
  readonly cached: number;
  readonly reasoning: number;
  readonly weights: string;
  /** Absent: the node counted positions itself. */
  readonly certainty?: NonNullable<Receipt["certainty"]>;
  /** As the node signed it. */
  readonly signed?: Signed;
};

export type Attempt = {
  readonly ordinal: number;
  readonly node: string | null;
  readonly region: string | null;
  /** When its call was issued, where that was told beforehand. */
  readonly issuedAtMs: number | null;
  /** The last beat that named it; null where none has. */
  readonly beatAtMs: number | null;
  /** As far as it had come by the last beat. */
  readonly position: number;
  readonly word: KnownWord | null;
  readonly receipt: KnownReceipt | null;
};

/** A request from its admission to the end of its memory. */
export type Hold = {
  readonly request: string;
  readonly key: string;
  /**
   * `open` counts against concurrency. `ended`: the client is done, its money waits for the receipt. `pending`: so
   * long that a row in the history says so. `closed`: nothing is held; a late receipt can still make the usage exact.
   */
  readonly state: "open" | "ended" | "pending" | "closed";
  readonly heldNanoUsd: number;
  /** What earlier revisions took from the balance, and what they wrote off. */
  readonly postedNanoUsd: number;
  /** The granted part of what was posted, so that a refund goes back where it came from; absent where none was. */
  readonly fromGrants?: Grants;
  readonly writtenOffNanoUsd: number;
  /** When money was last taken for it, so that a refund makes room in the budget it came from. */
  readonly chargedAtMs?: number;
  /** Counted against tokens per minute: its ceilings while it runs, what it used once that is known. */
  readonly tokens?: number;
  /** The number of its admission, by which a restart knows what the account's row has not counted yet. */
  readonly admission?: number;
  /** The row of its `Idempotency-Key`, where it has one. */
  readonly repeat?: string;
  /** How it was closed; null until it was. */
  readonly closedAs: Certainty | null;
  /** The last ordinal that was counted with; absent where an older build closed it. */
  readonly closedBy?: number;
  /** The number of the next event of this request. */
  readonly revision: number;
  /** When this hold is to be looked at again. */
  readonly dueAtMs: number;
  readonly lapseAtMs: number;
  readonly model: string;
  readonly stream: boolean;
  /** Where it was allowed to run; absent: anywhere, or an older build admitted it. */
  readonly regions?: readonly string[];
  readonly price: PriceRow;
  readonly promptCeiling: number;
  readonly outputCeiling: number;
  readonly extended: boolean;
  readonly admittedAtMs: number;
  readonly issueByMs: number;
  readonly attempts: readonly Attempt[];
};

const UNHEARD = {
  node: null,
  region: null,
  issuedAtMs: null,
  beatAtMs: null,
  position: 0,
  word: null,
  receipt: null,
} as const;

const FIRST_ATTEMPT: Attempt = { ordinal: 0, ...UNHEARD };

export type Grant = Required<
  Pick<
    Hold,
    "outputCeiling" | "heldNanoUsd" | "admittedAtMs" | "issueByMs" | "lapseAtMs" | "tokens" | "admission"
  >
>;

/** `regions`: those that account and keys allow now; null: any. */
export function newHold(ask: AdmitAsk, grant: Grant, regions: readonly string[] | null = null): Hold {
  const repeat = repeatName(ask);
  return {
    ...grant,
    ...(repeat === undefined ? {} : { repeat }),
    ...(regions === null ? {} : { regions }),
    request: ask.request,
    key: ask.key.id,
    state: "open",
    postedNanoUsd: 0,
    writtenOffNanoUsd: 0,
    closedAs: null,
    revision: 0,
    dueAtMs: grant.lapseAtMs,
    model: ask.model,
    stream: ask.stream,
    price: ask.price,
    promptCeiling: ask.promptCeiling,
    extended: false,
    attempts: [FIRST_ATTEMPT],
  };
}

/** Ordinals have no gaps: who speaks of the third attempt says that there was a second. */
function withAttempt(hold: Hold, ordinal: number, change: (attempt: Attempt) => Attempt): Hold {
  const known = hold.attempts[ordinal];
  const changed = change(known ?? { ordinal, ...UNHEARD });
  if (changed === known) return hold;
  const length = Math.max(hold.attempts.length, ordinal + 1);
  const attempts = Array.from({ length }, (_, at) =>
    at === ordinal ? changed : (hold.attempts[at] ?? { ordinal: at, ...UNHEARD }),
  );
  return { ...hold, attempts };
}

function noteCall(hold: Hold, call: NextCall): Hold {
  return withAttempt(hold, call.ordinal, (attempt) =>
    attempt.issuedAtMs === null
      ? { ...attempt, node: call.node, region: call.region, issuedAtMs: call.issuedAtMs }
      : attempt,
  );
}

function later(hold: Hold, lapseAtMs: number): Hold {
  return lapseAtMs > hold.lapseAtMs ? { ...hold, lapseAtMs } : hold;
}

export function noteWord(hold: Hold, word: Word, nowMs: number, holdLapseMs: number): Hold {
  const noted = withAttempt(hold, word.ordinal, (attempt) => {
    // An extension has said "refused" for the Worker; a word of its own says the rest.
    if (attempt.word !== null) return attempt;
    const { why, limit, ended, seenTo, prompt, cached, reasoning, counted, next } = word;
    return {
      ...attempt,
      node: attempt.node ?? word.node,
      region: attempt.region ?? word.region,
      word: {
        why,
        ...(limit === undefined ? {} : { limit }),
        ...(ended === undefined ? {} : { ended }),
        seenTo,
        prompt,
        cached,
        ...(reasoning === undefined ? {} : { reasoning }),
        ...(counted === undefined ? {} : { counted }),
        last: next === null,
        atMs: nowMs,
      },
    };
  });
  if (noted === hold || word.next === null) return noted;
  return later(noteCall(noted, word.next), nowMs + holdLapseMs);
}

/** An extension follows a refusal: the node found the prompt too long and began nothing. */
export function noteExtension(
  hold: Hold,
  ask: NextCall & { readonly promptCeiling: number },
  nowMs: number,
  holdLapseMs: number,
): Hold {
  const refused = withAttempt(hold, ask.ordinal - 1, (attempt) => ({
    ...attempt,
    node: attempt.node ?? ask.node,
    region: attempt.region ?? ask.region,
    word: attempt.word ?? { why: "refused", seenTo: 0, prompt: 0, cached: 0, last: false, atMs: nowMs },
  }));
  const called = later(noteCall(refused, ask), nowMs + holdLapseMs);
  return { ...called, promptCeiling: ask.promptCeiling, extended: true };
}

export function noteReceipt(hold: Hold, { receipt, region, signed }: CheckedReceipt, nowMs: number): Hold {
  return withAttempt(hold, receipt.ordinal, (attempt) => {
    if (attempt.receipt !== null) return attempt;
    const { to, ended, prompt, cached, reasoning, weights, certainty } = receipt;
    return {
      ...attempt,
      node: receipt.node,
      region,
      beatAtMs: nowMs,
      position: to,
      receipt: {
        to,
        ended,
        prompt,
        cached,
        reasoning,
        weights,
        ...(certainty === undefined ? {} : { certainty }),
        ...(signed === undefined ? {} : { signed }),
      },
    };
  });
}

/**
 * What an operator should hear of a receipt: it says another thing than the first one of its attempt, which stands, or
 * more than was held, which is not counted (the Worker refuses such a one already).
 */
export function flagOf(hold: Hold, { receipt }: CheckedReceipt): Flagged | null {
  const { request, ordinal, choice, to, prompt, cached, ended } = receipt;
  const first = hold.attempts[ordinal]?.receipt ?? null;
  const name = { request, ordinal, choice };
  if (
    first !== null &&
    (first.to !== to || first.prompt !== prompt || first.cached !== cached || first.ended !== ended)
  )
    return { ...name, why: "contradicts" };
  return to > hold.outputCeiling || prompt > hold.promptCeiling ? { ...name, why: "beyond_hold" } : null;
}

/** The receipts as they were signed are the longest part of what is known, and stand in the request's event as well. */
export function withoutSigned(hold: Hold): Hold {
  return { ...hold, attempts: hold.attempts.map((attempt) => signedAs(attempt, undefined)) };
}

export function withSigned(hold: Hold, told: readonly AttemptTrace[]): Hold {
  return { ...hold, attempts: hold.attempts.map((attempt, at) => signedAs(attempt, told[at]?.receipt)) };
}

function signedAs(attempt: Attempt, signed: Signed | undefined): Attempt {
  if (attempt.receipt === null) return attempt;
  const { signed: _, ...receipt } = attempt.receipt;
  return { ...attempt, receipt: signed === undefined ? receipt : { ...receipt, signed } };
}

export type RenewalAsk = {
  readonly request: string;
  readonly ordinal: number;
  readonly position: number;
  readonly node: string;
  readonly region: string;
};

export function noteRenewal(hold: Hold, renewal: RenewalAsk, nowMs: number, holdLapseMs: number): Hold {
  const named = withAttempt(hold, renewal.ordinal, (attempt) => ({
    ...attempt,
    node: renewal.node,
    region: renewal.region,
    beatAtMs: nowMs,
    position: Math.max(attempt.position, renewal.position),
  }));
  return later(named, nowMs + holdLapseMs);
}

/** How a word's ending is written into rows: a limit that ran out is named, and a node's failing is in its own words. */
export function endingOf({ why, limit, ended }: KnownWord): string {
  if ((why === "node_failed" || why === "answered") && ended !== undefined) return ended;
  return limit === undefined ? why : `${why}_${limit}`;
}

/**
 * Refused before it began, never asked, or at an upstream and given up for another place (which happens before its first content
 * alone): this ordinal has produced nothing and no receipt of it counts.
 */
export function isRefused({ word }: Attempt): boolean {
  if (word?.counted !== undefined && !word.last) return true;
  const why = word?.why;
  return why === "refused" || why === "no_node" || why === "recalled";
}

/** No beat ever named it, and no Worker saw it answer: perhaps it never began. */
export function isUnheard(hold: Hold, attempt: Attempt): boolean {
  if (attempt.beatAtMs !== null || isRefused(attempt) || isAtUpstream(attempt)) return false;
  const seenBefore = Math.max(
    0,
    ...hold.attempts.map(({ ordinal, word }) => (ordinal < attempt.ordinal ? (word?.seenTo ?? 0) : 0)),
  );
  return attempt.word === null || attempt.word.seenTo <= seenBefore;
}

/** Nobody but the Worker of the request ever speaks of it: no beat, no receipt. */
export function isAtUpstream({ node }: Attempt): boolean {
  return node !== null && isUpstreamId(node);
}

/** The word after which the request went on nowhere. */
export function lastWord(hold: Hold): KnownWord | null {
  const word = hold.attempts.at(-1)?.word;
  return word?.last === true ? word : null;
}

/** Once per request, for a call that has no number yet, and only upwards. */
export function isExtendable(hold: Hold, ask: ExtendAsk): boolean {
  return (
    hold.state === "open" &&
    !hold.extended &&
    lastWord(hold) === null &&
    ask.ordinal > (hold.attempts.at(-1)?.ordinal ?? 0) &&
    ask.promptCeiling > hold.promptCeiling
  );
}
