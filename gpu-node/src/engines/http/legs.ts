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

export type Reading = {
  readonly words: Words;
  readonly notation: Notation;
  /** Opens a section of tools, which ends thinking as well; undefined where the model has none. */
  readonly sectionOpen: number | undefined;
};

const never = (): boolean => false;

/** `answer`: every token of it so far, whoever made it. `tokensMax`: how many may still come, at least one. */
export function nextLeg(
  task: Task,
  answer: readonly number[],
  tokensMax: number,
  { words, notation, sectionOpen }: Reading,
): Next {
  const { grammar, logprobs } = task;
  const { vocabulary } = words;
  const close = vocabulary.think?.close;
  const thought = answer.some((id) => id === close || id === sectionOpen);
  const budget = thought ? undefined : task.thinkingTokensMax;
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
      if (id === close || id === sectionOpen) thinks = false;
      return id === after || (thinks && answer.length + count >= (budget ?? 0));
    };
    // What a grammar behind the thinking binds must not begin inside it: nothing would bind it there.
    const barred = after === close && sectionOpen !== undefined ? [sectionOpen] : [];
    return { do: "ask", leg: { ...leg, sampling: forbidding(leg.sampling, barred) }, turns };
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
  return {
    do: "ask",
    leg: {
      ...leg,
      sampling: forbidding(leg.sampling, strange),
      grammar: left.print(notation),
    },
    turns: never,
  };
}

function forbidding(sampling: Sampling, ids: Iterable<number>): Sampling {
  const forbidden = [...ids].map((id) => [id, Number.NEGATIVE_INFINITY] as const);
  if (forbidden.length === 0) return sampling;
  return { ...sampling, logitBias: [...(sampling.logitBias ?? []), ...forbidden] };
}

function reseeded(sampling: Sampling, behind: number): Sampling {
  return sampling.seed === undefined ? sampling : { ...sampling, seed: seedFor(sampling.seed, behind) };
}
