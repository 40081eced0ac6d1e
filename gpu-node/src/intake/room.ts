/**
 * Whether a prompt fits, and how much answer it leaves room for. Pure. Every count here is known before any engine work.
 */
import type { Refusal } from "@sluice/protocol/refusal";

export type RoomAsk = {
  readonly promptTokens: number;
  readonly promptCeiling: number;
  /** Absolute position before which output stops. */
  readonly outputCeiling: number;
  /** The client's own limit, absolute too: a resumed answer is the same answer. */
  readonly outputAsked: number | undefined;
  /** Positions delivered by earlier attempts. */
  readonly from: number;
  readonly contextTokens: number;
};

export type Room =
  | {
      readonly ok: true;
      /** New positions at most; 0 where earlier attempts used it all. */ readonly outputTokensMax: number;
    }
  | { readonly ok: false; readonly refusal: Refusal };

export function roomFor(ask: RoomAsk): Room {
  const { promptTokens, contextTokens, from } = ask;
  if (promptTokens + 1 > contextTokens)
    return { ok: false, refusal: { kind: "prompt_too_long", promptTokens, contextTokens } };
  if (promptTokens > ask.promptCeiling)
    return { ok: false, refusal: { kind: "hold_too_small", promptTokens } };
  const ceiling = Math.min(ask.outputAsked ?? Number.POSITIVE_INFINITY, ask.outputCeiling);
  return {
    ok: true,
    outputTokensMax: Math.max(0, Math.min(ceiling - from, contextTokens - promptTokens - from)),
  };
}
