/**
 * From sampled tokens to what a client reads. Pure: a state and a token give the next state and at most one piece of
 * text, so replaying the tokens an earlier node delivered rebuilds the very state that node was in.
 *
 * Invariants: every token is one position, whatever it shows; thinking is told from answer by token ids alone, never by
 * text. Stop strings are looked for in the answer, not in the thinking: a client that stops at a blank line wants the
 * first paragraph of the answer, and an answer cut in its thinking would be empty.
 */
import type { Token } from "../engines/engine.ts";
import { decodeLast, decodeMore, NO_BYTES } from "./utf8.ts";
import { scanStops } from "./stops.ts";

export type Channel = "reasoning" | "content";

export type Delta = { readonly channel: Channel; readonly text: string };

/** What does not change while an answer is made. */
export type Rules = {
  readonly endTokens: ReadonlySet<number>;
  readonly think: { readonly open: number; readonly close: number } | undefined;
  readonly stops: readonly string[];
};

export type Answering = {
  readonly thinking: boolean;
  readonly positions: number;
  /** Positions inside thinking, the token that closes it included. */
  readonly reasoning: number;
  /** Bytes of a character not finished. */
  readonly bytes: Uint8Array;
  /** Answer text that may begin a stop string. */
  readonly held: string;
  /** An end token or a stop string came: nothing is to follow. */
  readonly stopped: boolean;
};

export type Step = { readonly state: Answering; readonly delta: Delta | undefined };

export function beginAnswer(thinking: boolean): Answering {
  return { thinking, positions: 0, reasoning: 0, bytes: NO_BYTES, held: "", stopped: false };
}

function channelOf(state: Answering): Channel {
  return state.thinking ? "reasoning" : "content";
}

function deltaOf(channel: Channel, text: string): Delta | undefined {
  return text === "" ? undefined : { channel, text };
}

/** What was held back, for the moment after which it cannot become anything else. */
export function remainder(state: Answering): Delta | undefined {
  return deltaOf(channelOf(state), state.held + decodeLast(state.bytes));
}

export function step(rules: Rules, before: Answering, token: Token): Step {
  const counted = {
    ...before,
    positions: before.positions + 1,
    reasoning: before.reasoning + (before.thinking || token.id === rules.think?.open ? 1 : 0),
  };
  if (rules.endTokens.has(token.id)) return { state: { ...counted, stopped: true }, delta: undefined };
  if (rules.think !== undefined && token.id === (before.thinking ? rules.think.close : rules.think.open)) {
    const state = { ...counted, thinking: !before.thinking, bytes: NO_BYTES, held: "" };
    return { state, delta: remainder(before) };
  }
  const { text, rest } = decodeMore(before.bytes, token.bytes);
  if (before.thinking || rules.stops.length === 0)
    return { state: { ...counted, bytes: rest }, delta: deltaOf(channelOf(before), text) };
  const { show, held, hit } = scanStops(before.held + text, rules.stops);
  const state = { ...counted, bytes: hit ? NO_BYTES : rest, held, stopped: hit };
  return { state, delta: deltaOf("content", show) };
}
