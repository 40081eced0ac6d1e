/**
 * One text for all spellings of the same chat completion. Pure. Two bodies have the same canonical text only if a node
 * would give their models the same prompt and sample in the same way; so where in doubt they differ, and the price of
 * doubt is a miss.
 *
 * Canonicalised: the order of fields at the top level and inside messages, the spelling of strings and numbers there, null
 * and defaults of well-known fields (they count as absent), aliases (as model and thinking). By their bytes: tools,
 * schemas, content parts and every unknown field, because the order of keys in there is part of the prompt. Left out:
 * what changes only how the answer is sent or who is told of it, and `user_id`, which the isolation tag stands for.
 */
import { elementsOf, membersOf } from "./json-members.ts";

export type Meant = { readonly model: string; readonly thinkingDefault: boolean };

/** Not a part of what is asked. */
const LEFT_OUT = new Set(["model", "stream", "user", "user_id", "metadata"]);

/** Scalars and what their absence means; undefined: nothing that could be written out. */
const SCALAR_DEFAULTS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["temperature", 1],
  ["top_p", 1],
  ["frequency_penalty", 0],
  ["presence_penalty", 0],
  ["n", 1],
  ["logprobs", false],
  ["seed", undefined],
  ["reasoning_effort", undefined],
]);

/** In these null says nothing. In a field nobody knows it may say something. */
const NULL_IS_ABSENT = new Set(["tools", "tool_choice", "response_format", "functions", "function_call"]);
const NULL_IS_ABSENT_IN_MESSAGE = new Set([
  "content",
  "name",
  "tool_calls",
  "tool_call_id",
  "refusal",
  "reasoning_content",
]);

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

type Entry = readonly [key: string, text: string];

/** `body` is one that parseOpenAiChat has accepted. Undefined where it has no canonical form: a key stands there twice. */
export function canonicalChat(body: Uint8Array, meant: Meant): string | undefined {
  const members = membersOf(decoder.decode(body));
  if (members === undefined) return undefined;
  const raws = new Map(members.map(({ key, raw }) => [key, raw]));
  const entries: Entry[] = [["model", JSON.stringify(meant.model)]];
  for (const { key, raw } of members) {
    const entry = topLevel(key, raw);
    if (entry === "none") return undefined;
    if (entry !== undefined) entries.push([key, entry]);
  }
  const max = scalar(raws.get("max_completion_tokens")) ?? scalar(raws.get("max_tokens"));
  if (max !== undefined) entries.push(["max_tokens", JSON.stringify(max)]);
  entries.push(["thinking", thinking(raws.get("thinking"), scalar(raws.get("reasoning_effort")), meant)]);
  return joined(entries);
}

/** The field's one spelling; undefined where it says nothing, `none` where it has none. */
function topLevel(key: string, raw: string): string | undefined {
  if (LEFT_OUT.has(key) || key === "max_tokens" || key === "max_completion_tokens" || key === "thinking")
    return undefined;
  if (key === "messages") return messages(raw);
  if (key === "stop") return stop(raw);
  if (key === "stream_options") return isUsageOptionAlone(raw) ? undefined : `=${raw}`;
  if (SCALAR_DEFAULTS.has(key) && !/^[[{]/.test(raw)) {
    const value = scalar(raw);
    return value === undefined || value === SCALAR_DEFAULTS.get(key) ? undefined : JSON.stringify(value);
  }
  if (raw === "null" && NULL_IS_ABSENT.has(key)) return undefined;
  if (key === "response_format" && isTextFormat(raw)) return undefined;
  return `=${raw}`;
}

function messages(raw: string): string {
  let canonical = "";
  for (const element of elementsOf(raw) ?? []) {
    const members = membersOf(element);
    if (members === undefined) return "none";
    const said = members.flatMap(({ key, raw: value }): Entry[] =>
      value === "null" && NULL_IS_ABSENT_IN_MESSAGE.has(key) ? [] : [[key, respelled(value)]],
    );
    canonical += measured(joined(said));
  }
  return canonical;
}

/** A string in its one spelling; anything else as it is written. The sign keeps the two apart. */
function respelled(raw: string): string {
  return raw.startsWith('"') ? `"${JSON.parse(raw) as string}` : `=${raw}`;
}

/** Null and absent are the same; so are 1, 1.0 and 1e0. Only for fields whose type the parser has checked. */
function scalar(raw: string | undefined): unknown {
  if (raw === undefined || raw === "null") return undefined;
  const value: unknown = JSON.parse(raw);
  // Minus zero is zero.
  return value === 0 ? 0 : value;
}

/** Engines drop empty stops, and take one alone for a list of one. */
function stop(raw: string): string | undefined {
  const value: unknown = JSON.parse(raw);
  const stops = (Array.isArray(value) ? value : [value]).filter((text) => text !== null && text !== "");
  return stops.length === 0 ? undefined : JSON.stringify(stops);
}

function isUsageOptionAlone(raw: string): boolean {
  if (raw === "null") return true;
  return membersOf(raw)?.every(({ key }) => key === "include_usage") ?? false;
}

function isTextFormat(raw: string): boolean {
  const members = membersOf(raw);
  return members?.length === 1 && members[0]?.key === "type" && members[0].raw === '"text"';
}

/** As nodes decide it: said outright, else by naming an effort, else by the name the model was called by. */
function thinking(raw: string | undefined, effort: unknown, meant: Meant): string {
  const members = raw === undefined || raw === "null" ? [] : (membersOf(raw) ?? []);
  const type = members.find(({ key }) => key === "type")?.raw;
  const thinks =
    type === undefined
      ? effort === undefined
        ? meant.thinkingDefault
        : effort !== "none"
      : JSON.parse(type) === "enabled";
  const more = members.length > 1 || (raw !== undefined && raw !== "null" && type === undefined);
  return more ? `${thinks}=${raw}` : String(thinks);
}

/** In one order, each part behind its length: no two lists of entries become the same text. */
function joined(entries: readonly Entry[]): string {
  return entries
    .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, text]) => measured(key) + measured(text))
    .join("");
}

function measured(text: string): string {
  return `${text.length}:${text}`;
}
