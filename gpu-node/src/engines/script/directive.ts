/**
 * What the script engine does for a prompt. A test steers it through the normal API: a JSON object of the form
 * `{"script":{...}}` anywhere in the last user message. Without one, the answer repeats the message. All fields are optional:
 *
 *   tokens             that many numbered words ("0 1 2 ..."), one token each, instead of the echo
 *   text               this text instead, one token per byte
 *   calls              behind it calls of tools: [{"name","arguments"}], in V3.1's form
 *   think              words of thinking first, when the call thinks (default 2); thinking ends with one mark token
 *   endless            never samples the end token: runs into the ceiling
 *   everyMs            between tokens
 *   firstMs            before the first token, on top of the prefill
 *   prefillMsPerToken  for each prompt token that is not cached
 *   dieAt              the engine dies instead of emitting this position, and fails all its tasks. A number counts
 *                      only for a task with nothing delivered, so the next node can finish the answer; in a list,
 *                      the first entry above the positions already delivered counts
 *   hangAt             emits nothing from this position on, until aborted; number or list, as above
 *   killAt             as dieAt, but the whole process gets SIGKILL; only where the engine's options allow it
 *   on                 the failures above happen only on the engine whose `name` option this is
 *
 * Output positions: `think` words, the closing mark (if the call thinks), the content, the end token. Pure.
 */
import { z } from "zod";
import { EngineFault } from "../engine.ts";
import { encodeCalls, encodeText, FIRST_WORD, MARK, WORDS_MAX } from "./tokenizer.ts";

const Position = z.int().min(0);
const Positions = z.union([Position, z.array(Position).max(64)]);
const MS_MAX = 3_600_000;
const Ms = z.number().min(0).max(MS_MAX);

export const Directive = z.strictObject({
  tokens: z.int().min(0).max(WORDS_MAX).optional(),
  text: z.string().optional(),
  calls: z
    .array(z.strictObject({ name: z.string(), arguments: z.string() }))
    .max(64)
    .optional(),
  think: z.int().min(0).max(WORDS_MAX).optional(),
  endless: z.boolean().optional(),
  everyMs: Ms.optional(),
  firstMs: Ms.optional(),
  prefillMsPerToken: Ms.optional(),
  dieAt: Positions.optional(),
  hangAt: Positions.optional(),
  killAt: Positions.optional(),
  on: z.string().optional(),
});
export type Directive = z.infer<typeof Directive>;

const THINK_DEFAULT = 2;

export function readDirective(text: string): Directive | undefined {
  const json = scriptObject(text);
  if (json === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new EngineFault("unsupported", `The script directive is no JSON: ${json.slice(0, 200)}`);
  }
  const parsed = z.strictObject({ script: Directive }).safeParse(value);
  if (!parsed.success)
    throw new EngineFault("unsupported", `The script directive is wrong: ${z.prettifyError(parsed.error)}`);
  return parsed.data.script;
}

/** The balanced object that begins with {"script": */
function scriptObject(text: string): string | undefined {
  const start = text.search(/\{\s*"script"\s*:/);
  if (start < 0) return undefined;
  let depth = 0;
  let inString = false;
  for (let i = start; i < text.length; i++) {
    const character = text[i];
    if (inString) {
      if (character === "\\") i++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === "{") depth++;
    else if (character === "}") {
      depth--;
      if (depth === 0) return text.slice(start, i + 1);
    }
  }
  return text.slice(start);
}

/** The token at an output position, or undefined behind the end. */
export type Answer = (position: number) => number | undefined;

export function answerOf(directive: Directive, text: string, thinking: boolean): Answer {
  const think = thinking ? (directive.think ?? THINK_DEFAULT) : 0;
  const contentFrom = thinking ? think + 1 : 0;
  const content: readonly number[] | undefined =
    directive.tokens === undefined
      ? [
          // A call is an answer by itself.
          ...encodeText(directive.text ?? (directive.calls === undefined ? text : "")),
          ...(directive.calls === undefined ? [] : encodeCalls(directive.calls)),
        ]
      : undefined;
  const length =
    directive.endless === true ? Number.POSITIVE_INFINITY : (directive.tokens ?? content?.length ?? 0);
  return (position) => {
    if (position < think) return FIRST_WORD + position;
    if (position < contentFrom) return MARK.thinkClose;
    const at = position - contentFrom;
    if (at < length) return content?.[at] ?? FIRST_WORD + (at % WORDS_MAX);
    return at === length ? MARK.end : undefined;
  };
}

/** The position at which a failure strikes a task with so many positions delivered. */
export function strikesAt(
  positions: number | readonly number[] | undefined,
  delivered: number,
): number | undefined {
  if (positions === undefined) return undefined;
  if (typeof positions === "number") return delivered === 0 ? positions : undefined;
  return [...positions].sort((a, b) => a - b).find((position) => position > delivered || delivered === 0);
}
