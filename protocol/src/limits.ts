/**
 * The limits both sides obey, each named with its unit. A number that only one side needs lives on that side.
 */

/** A client's request body. Larger ones are refused with 413 before they are parsed. */
export const CLIENT_BODY_BYTES_MAX = 4 * 1024 * 1024;
/** The head line of a node call: its ids plus, on a resume, one token id per position delivered. */
export const CALL_HEAD_BYTES_MAX = 2 * 1024 * 1024;
/** A node call is valid this long after `issuedAtMs`, by the edge's clock. */
export const CALL_VALID_MS = 10_000;
/** How far a node's idea of the edge's clock may be behind it before a fresh call looks as if from the future. */
export const CALL_SKEW_MS = 2_000;
/** Attempts of one request, whatever the reason: ordinals run from 0 to this, exclusive. */
export const ATTEMPTS_MAX = 16;

/** A node says how it is this often. */
export const BEAT_INTERVAL_MS = 1_000;
/** A new receipt brings the next beat forward, up to this many in a second: so it leaves the node within 50 ms. */
export const BEATS_PER_SECOND_MAX = 20;
/** Receipts in one beat; the rest follows in the next one. */
export const BEAT_RECEIPTS_MAX = 200;
/** Renewals in one beat; the rest follows in the next one. */
export const BEAT_RENEWALS_MAX = 500;
export const BEAT_BYTES_MAX = 1024 * 1024;

/**
 * A running attempt is named for the first time no later than this after it was accepted: most are over by then, and a
 * renewal costs the account's object a row. It is also how far `complete through` may lag behind...
 */
export const RENEW_FIRST_MS = 25_000;
/** ...and from then on this often. */
export const RENEW_INTERVAL_MS = 30_000;
/** A hold that nothing has renewed for this long lapses. */
export const HOLD_LAPSE_MS = 60_000;
/**
 * With no word, this long after the last beat that named a request, its highest ordinal known closes it, provided that
 * ordinal's receipt is there; otherwise the hold lapses into `pending`.
 */
export const CLOSE_WITHOUT_WORD_MS = 30_000;
/** A request with a word and no receipt is settled from what the Worker saw after this long. */
export const PENDING_MAX_MS = 15 * 60_000;
/** A failover waits this long for its word to be acknowledged before it forwards anything of the next node. */
export const WORD_ACK_WAIT_MS = 300;

/** Positions one `journal(from, to)` answer may hold. */
export const JOURNAL_POSITIONS_MAX = 4_096;
/** A sealed ticket, which names account, model and price and nothing longer. */
export const TICKET_CHARS_MAX = 2_048;
/** Attempts in one list of a journal. */
export const JOURNAL_LIST_MAX = 500;

/** The dearest price there can be: $100 per million tokens. With the bound on tokens no cost leaves the safe integers. */
export const PRICE_MICRO_USD_PER_M_MAX = 100_000_000;
/** More tokens than any context holds. */
export const TOKENS_MAX = 10_000_000;
