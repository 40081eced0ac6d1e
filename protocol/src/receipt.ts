/**
 * The receipt: a node's signed statement of one attempt. It is the only source of an exact bill.
 *
 * Positions [from, to) are those handed over: journalled and written to the socket, or, in a non-stream attempt,
 * journalled. Every sampled token has a position, the end token and tokens held back included. `prompt` and `cached`
 * are what will be billed: a resumed attempt echoes the counts its `resume` gave; an attempt left during its prefill
 * says how far it had come. After a kill -9 "written to the socket" cannot be known any more: then what was journalled
 * counts, which is at most one decode step more.
 */
import { z } from "zod";
import { BootId, NodeId, RequestId } from "./ids.ts";
import { ATTEMPTS_MAX, TICKET_CHARS_MAX } from "./limits.ts";
import { signText, verifyText, type Signed } from "./sign.ts";
import type { Ticket } from "./ticket.ts";
import { Version } from "./version.ts";

/** The endings after which nothing is left to do for the client. */
export const NATURAL_ENDINGS = ["stop", "length", "tool_calls"] as const;

export const Ending = z.enum([
  ...NATURAL_ENDINGS,
  /** The reader closed the connection: the client left, or the Worker died. */
  "client_gone",
  /** The reader took nothing for 30 seconds. */
  "client_slow",
  /** The engine failed; what was handed over before stands. */
  "engine_died",
  /** The node process died; this receipt was written from its journal at the next start. */
  "node_died",
  /** The node was told to stop and its deadline came first. */
  "drained",
  /** The node's own limit on a whole attempt. */
  "timeout",
  /** Accepted, queued, and no slot came free in time. */
  "no_room",
]);
export type Ending = z.infer<typeof Ending>;

export function isNatural(ending: Ending): boolean {
  return ending === "stop" || ending === "length" || ending === "tool_calls";
}

export const Receipt = z
  .object({
    v: Version,
    ticket: z.string().min(1).max(TICKET_CHARS_MAX),
    request: RequestId,
    ordinal: z
      .int()
      .min(0)
      .max(ATTEMPTS_MAX - 1),
    /** Which of the request's `n` answers; 0 where there is one. */
    choice: z.int().min(0).default(0),
    node: NodeId,
    boot: BootId,
    from: z.int().min(0),
    to: z.int().min(0),
    ended: Ending,
    prompt: z.int().min(0),
    cached: z.int().min(0),
    /** How many of the request's positions so far were thinking. */
    reasoning: z.int().min(0),
    /** Digest of weights, tokenizer and template. */
    weights: z.string().min(1).max(128),
    /** By the node's estimate of the edge's clock. */
    begunAtMs: z.int().min(0),
    endedAtMs: z.int().min(0),
    /** Waiting for a slot, and evaluating the prompt. */
    queueMs: z.int().min(0),
    prefillMs: z.int().min(0),
    /**
     * Absent: the node counted positions itself. Else it stands before a server that shows none: `reported` are that server's own
     * counts, `estimated` what the node counted of its events because it gave none, or not to the end.
     */
    certainty: z.enum(["reported", "estimated"]).optional(),
  })
  .refine((receipt) => receipt.to >= receipt.from && receipt.cached <= receipt.prompt, {
    error: "a receipt's counts contradict each other",
  });
export type Receipt = z.infer<typeof Receipt>;

export async function signReceipt(privateKey: CryptoKey, receipt: Receipt): Promise<Signed> {
  const body = JSON.stringify(receipt);
  return { body, sig: await signText(privateKey, "sluice-receipt", body) };
}

/** As with tickets: `forged` is for ever, as is `impossible` (less than nothing of something); `unreadable` is for now. */
export type OpenedReceipt =
  | { readonly ok: true; readonly receipt: Receipt }
  | { readonly ok: false; readonly why: "forged" | "impossible" | "unreadable" };

const COUNTS = ["from", "to", "prompt", "cached", "reasoning"] as const;
const Counts = z.looseObject(Object.fromEntries(COUNTS.map((name) => [name, z.unknown()])));

/** No version of this protocol will ever say that: a count that is no whole number from 0 on. */
function isAbsurd(raw: unknown): boolean {
  const counts = Counts.safeParse(raw).data;
  if (counts === undefined) return false;
  return COUNTS.some((name) => {
    const count = counts[name];
    return typeof count === "number" && (!Number.isSafeInteger(count) || count < 0);
  });
}

export async function openReceipt(publicKey: CryptoKey, signed: Signed): Promise<OpenedReceipt> {
  if (!(await verifyText(publicKey, "sluice-receipt", signed.body, signed.sig)))
    return { ok: false, why: "forged" };
  let raw: unknown;
  try {
    raw = JSON.parse(signed.body);
  } catch {
    return { ok: false, why: "forged" };
  }
  const receipt = Receipt.safeParse(raw);
  if (receipt.success) return { ok: true, receipt: receipt.data };
  return { ok: false, why: isAbsurd(raw) ? "impossible" : "unreadable" };
}

/**
 * Whether a receipt says only what its ticket allows: the same attempt, no more than the ceilings, and on a resumed
 * attempt the counts it was told to echo. The node chose every number in the receipt; the edge chose the ticket.
 */
export function isCoveredBy(receipt: Receipt, ticket: Ticket, node: string): boolean {
  return (
    receipt.node === node &&
    ticket.node === node &&
    receipt.request === ticket.request &&
    receipt.ordinal === ticket.ordinal &&
    receipt.choice === 0 &&
    receipt.from === ticket.from &&
    receipt.to <= Math.max(ticket.outputCeiling, ticket.from) &&
    receipt.prompt <= ticket.promptCeiling &&
    (ticket.from === 0 || (receipt.prompt === ticket.prompt && receipt.cached === ticket.cached))
  );
}
