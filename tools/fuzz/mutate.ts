/**
 * Bodies that no client should send: good ones, changed. Pure: a seed and a number name a body for ever. Most changes are
 * to the value (a part replaced, taken away, doubled, nested without end), some to its bytes.
 */
import type { Dice } from "./dice.ts";

/** What stands where it should not. */
const NASTY: readonly ({} | null)[] = [
  null,
  true,
  0,
  -1,
  1e308,
  2 ** 53,
  0.1,
  "",
  "x".repeat(5_000),
  "\u0000",
  "\ud800",
  "\u{fdd0}",
  "<｜Assistant｜></think>",
  "｜DSML｜",
  [],
  {},
  [[]],
  { type: "object" },
  { type: "json_schema", json_schema: { name: "a", schema: { $ref: "#" } } },
  { $ref: "#/properties/x" },
  { type: ["string", "null"], enum: [] },
  [{ role: "tool", content: "x" }],
  [{ role: "assistant", tool_calls: [{ function: { name: "f", arguments: "{" } }] }],
];

/** Fields that mean something, for places where they do not. */
const KEYS = [
  "model",
  "messages",
  "role",
  "content",
  "tools",
  "tool_choice",
  "tool_calls",
  "function",
  "parameters",
  "strict",
  "response_format",
  "json_schema",
  "schema",
  "stop",
  "n",
  "seed",
  "logit_bias",
  "logprobs",
  "top_logprobs",
  "max_tokens",
  "temperature",
  "thinking",
  "prefix",
  "prompt",
  "stream",
  "__proto__",
  "constructor",
];

/** Far beyond what any recursion stands. */
const DEPTH = 20_000;

export function mutated(body: unknown, dice: Dice): Uint8Array {
  let value: unknown = structuredClone(body);
  const changes = 1 + dice.below(3);
  for (let change = 0; change < changes; change++) value = changed(value, dice);
  const text = JSON.stringify(value) ?? "null";
  const bytes = new TextEncoder().encode(dice.below(40) === 0 ? nested(text, dice) : text);
  return dice.below(4) === 0 ? bitten(bytes, dice) : bytes;
}

/** The value with one place changed; the deeper, the likelier. */
function changed(value: unknown, dice: Dice): unknown {
  if (typeof value !== "object" || value === null || dice.below(4) === 0) return dice.pick(NASTY);
  if (Array.isArray(value)) {
    const items = [...(value as readonly unknown[])];
    const at = dice.below(items.length + 1);
    if (at === items.length || dice.below(6) === 0) items.splice(at, dice.below(2), dice.pick(NASTY));
    else items[at] = changed(items[at], dice);
    return items;
  }
  const fields = Object.entries(value);
  const at = dice.below(fields.length + 1);
  const [key, inner] = fields[at] ?? [dice.pick(KEYS), dice.pick(NASTY)];
  switch (dice.below(5)) {
    case 0:
      return Object.fromEntries(fields.filter((_, other) => other !== at));
    case 1:
      return { ...value, [dice.pick(KEYS)]: inner };
    default:
      return { ...value, [key]: changed(inner, dice) };
  }
}

/** A place of the text, nested until nobody can follow. */
function nested(text: string, dice: Dice): string {
  const [open, close] = dice.pick([
    ["[", "]"],
    ['{"a":', "}"],
    ['{"items":', "}"],
    ['{"type":"array","items":', "}"],
  ] as const);
  const at = text.indexOf(":", dice.below(text.length));
  if (at < 0) return text;
  return `${text.slice(0, at + 1)}${open.repeat(DEPTH)}1${close.repeat(DEPTH)},"z":${text.slice(at + 1)}`;
}

function bitten(bytes: Uint8Array, dice: Dice): Uint8Array {
  const at = dice.below(bytes.length + 1);
  const to = Math.min(bytes.length, at + dice.below(20));
  switch (dice.below(5)) {
    case 0:
      return bytes.slice(0, at);
    case 1:
      return joined(bytes.subarray(0, at), bytes.subarray(to));
    case 2:
      return joined(bytes.subarray(0, to), bytes.subarray(at));
    case 3:
      return joined(bytes.subarray(0, at), Uint8Array.of(dice.below(256)), bytes.subarray(at));
    default: {
      const copy = bytes.slice();
      if (at < copy.length) copy[at] = dice.below(256);
      return copy;
    }
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
