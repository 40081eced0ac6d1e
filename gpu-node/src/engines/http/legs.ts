/**
 * An answer as one request to the server after another: these servers bind a request to a grammar from its first token on,
 * forget the grammar with the request, and know no budget for thinking. So thinking that has had its share is closed here
 * and gone on with behind the mark; what a grammar binds begins a request of its own, with what is left of the grammar;
 * and an answer that another node has begun is such a beginning, too. Most answers are one leg. Pure.
 */
import { leftOf } from "../../grammar/advance.ts";
import type { Notation } from "../../grammar/gbnf-reader.ts";
import { strangersTo } from "../../grammar/strangers.ts";
import { EngineFault } from "../engine.ts";
import type { Sampling, Task } from "../engine.ts";
import { seedFor } from "./seed.ts";
import type { Leg } from "./server.ts";
import type { Words } from "./words.ts";

export type Next =
  /** Nothing is to be asked: this is the next token. */
  | { readonly do: "say"; readonly id: number }
  | {
      readonly do: "ask";
      readonly leg: Leg;
      /** Whether the leg is over behind this token, the `count`th of it. */
      readonly turns: (id: number, count: number) => boolean;
    };

const never = (): boolean => false;

/** `answer`: every token of it so far, whoever made it. `tokensMax`: how many may still come, at least one. */
export function nextLeg(
  task: Task,
  answer: readonly number[],
  tokensMax: number,
  { words, notation }: { readonly words: Words; readonly notation: Notation },
): Next {
  const { grammar, logprobs } = task;
  const { vocabulary } = words;
  const close = vocabulary.think?.close;
  const budget = answer.includes(close ?? -1) ? undefined : task.thinkingTokensMax;
  if (budget !== undefined && close !== undefined && answer.length >= budget) return { do: "say", id: close };
  const leg = {
    tokens: [...task.prompt, ...answer],
    tokensMax,
    sampling: reseeded(task.sampling, answer.length),
    ...(logprobs === undefined ? {} : { logprobs }),
  };
  const after = grammar?.after;
  if (grammar === undefined || (after !== undefined && !answer.includes(after))) {
    if (after === undefined && budget === undefined) return { do: "ask", leg, turns: never };
    let thinks = budget !== undefined;
    const turns = (id: number, count: number): boolean => {
      if (id === close) thinks = false;
      return id === after || (thinks && answer.length + count >= (budget ?? 0));
    };
    return { do: "ask", leg, turns };
  }
  const bound = answer.slice(after === undefined ? 0 : answer.indexOf(after) + 1);
  const left = leftOf(
    grammar.gbnf,
    bound.map((id) => ({ id, bytes: vocabulary.bytesOf(id) ?? new Uint8Array() })),
  );
  if (!left.ok) throw new EngineFault("unsupported", `This answer cannot be continued: ${left.why}.`);
  const [end] = words.endTokens;
  if (left.whole && end !== undefined) return { do: "say", id: end };
  const strange = strangersTo(grammar.gbnf, {
    special: vocabulary.special,
    endTokens: new Set(words.endTokens),
  });
  const forbidden = [...strange].map((id) => [id, Number.NEGATIVE_INFINITY] as const);
  return {
    do: "ask",
    leg: {
      ...leg,
      sampling: { ...leg.sampling, logitBias: [...(leg.sampling.logitBias ?? []), ...forbidden] },
      grammar: left.print(notation),
    },
    turns: never,
  };
}

function reseeded(sampling: Sampling, behind: number): Sampling {
  return sampling.seed === undefined ? sampling : { ...sampling, seed: seedFor(sampling.seed, behind) };
}
