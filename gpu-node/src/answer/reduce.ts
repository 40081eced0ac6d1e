/**
 * From sampled tokens to what a client reads. Pure: a state and a token give the next state and what it shows, so replaying
 * the tokens an earlier node delivered rebuilds the very state that node was in.
 *
 * Invariants: every token is one position, whatever it shows; thinking and tool calls are told from the answer by token
 * ids alone, never by text. Stop strings are looked for in the answer, not in the thinking (a client that stops at a
 * blank line wants the first paragraph of the answer, and an answer cut in its thinking would be empty), nor in tool calls.
 */
import type { ToolMarks, Token } from "../engines/engine.ts";
import { markOf, opensSection } from "./marks.ts";
import type { Section } from "./section.ts";
import { beginSection, readSection } from "./tool-section.ts";
import { decodeLast, decodeMore, NO_BYTES } from "./utf8.ts";
import { scanStops } from "./stops.ts";

export type Channel = "reasoning" | "content" | "tool";

export type Delta =
  | { readonly channel: "reasoning" | "content"; readonly text: string }
  /** Arguments of a call; with its name where it begins. */
  | { readonly channel: "tool"; readonly text: string; readonly call: number; readonly name?: string };

/** What does not change while an answer is made. */
export type Rules = {
  readonly endTokens: ReadonlySet<number>;
  readonly think: { readonly open: number; readonly close: number } | undefined;
  readonly stops: readonly string[];
  readonly tools: ToolMarks | undefined;
};

export type Answering = {
  readonly thinking: boolean;
  readonly positions: number;
  /** Positions inside thinking, the token that closes it included. */
  readonly reasoning: number;
  /** Bytes of a character not finished. */
  readonly bytes: Uint8Array;
  /** Answer text that may begin a stop string, or belong to the mark of a tool section. */
  readonly held: string;
  /** An end token or a stop string came: nothing is to follow. */
  readonly stopped: boolean;
  readonly section: Section | undefined;
  /** Calls of tools begun. */
  readonly calls: number;
};

export type Step = { readonly state: Answering; readonly deltas: readonly Delta[] };

export function beginAnswer(thinking: boolean): Answering {
  return {
    thinking,
    positions: 0,
    reasoning: 0,
    bytes: NO_BYTES,
    held: "",
    stopped: false,
    section: undefined,
    calls: 0,
  };
}

function textDelta(thinking: boolean, text: string): readonly Delta[] {
  return text === "" ? [] : [{ channel: thinking ? "reasoning" : "content", text }];
}

/** What was held back, for the moment after which it cannot become anything else. */
export function remainder(state: Answering): Delta | undefined {
  if (state.section !== undefined) return undefined;
  return textDelta(state.thinking, state.held + decodeLast(state.bytes))[0];
}

export function step(rules: Rules, before: Answering, token: Token): Step {
  const counted = {
    ...before,
    positions: before.positions + 1,
    reasoning: before.reasoning + (before.thinking || token.id === rules.think?.open ? 1 : 0),
  };
  if (rules.endTokens.has(token.id)) return { state: { ...counted, stopped: true }, deltas: [] };
  if (before.section !== undefined) return inSection(rules, counted, before.section, token);
  if (rules.tools !== undefined && opensSection(rules.tools, token.id))
    return openSection(rules.tools, counted, token);
  if (rules.think !== undefined && token.id === (before.thinking ? rules.think.close : rules.think.open)) {
    const rest = remainder(before);
    const state = { ...counted, thinking: !before.thinking, bytes: NO_BYTES, held: "" };
    return { state, deltas: rest === undefined ? [] : [rest] };
  }
  const { text, rest } = decodeMore(before.bytes, token.bytes);
  const tagged = rules.tools?.format === "v3.2";
  if (before.thinking || (rules.stops.length === 0 && !tagged))
    return { state: { ...counted, bytes: rest }, deltas: textDelta(before.thinking, text) };
  const { show, held, hit } = scanStops(before.held + text, rules.stops);
  const shown = hit || !tagged ? show : beforeTag(show, held);
  const state = {
    ...counted,
    bytes: hit ? NO_BYTES : rest,
    held: show.slice(shown.length) + held,
    stopped: hit,
  };
  return { state, deltas: textDelta(false, shown) };
}

/** V3.2 puts two line feeds and the first tag's bracket before its mark; they belong to it. */
const TAG_START = /\n{0,2}<?$/;

function beforeTag(show: string, held: string): string {
  const at = (show + held).search(TAG_START);
  return show.slice(0, Math.max(0, at));
}

function openSection(marks: ToolMarks, counted: Answering, token: Token): Step {
  const rest = counted.held + decodeLast(counted.bytes);
  const text = marks.format === "v3.2" && !counted.thinking ? rest.replace(TAG_START, "") : rest;
  const mark = markOf(marks, token.id) ?? "";
  const { section } = readSection(marks.format, beginSection(counted.calls), mark);
  const state = { ...counted, thinking: false, bytes: NO_BYTES, held: "", section };
  return { state, deltas: textDelta(counted.thinking, text) };
}

function inSection(rules: Rules, counted: Answering, section: Section, token: Token): Step {
  const marks = rules.tools;
  if (marks === undefined) return { state: counted, deltas: [] };
  const { text, rest } = decodeMore(counted.bytes, token.bytes);
  const read = readSection(marks.format, section, text + (markOf(marks, token.id) ?? ""));
  const state = { ...counted, bytes: rest, section: read.section, calls: read.section.calls };
  return { state, deltas: read.deltas.map((delta) => ({ channel: "tool", ...delta })) };
}
