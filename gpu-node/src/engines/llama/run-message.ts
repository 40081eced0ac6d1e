/** A task as the engine's process is told it. Where nobody chose a seed, this does. */
import type { Task } from "../engine.ts";
import type { RunMessage } from "./messages.ts";

const SEED_SPAN = 2 ** 32;

export function runMessage(id: number, task: Task): RunMessage {
  const { prompt, delivered, outputTokensMax, tag, sampling, grammar, logprobs, thinkingTokensMax } = task;
  return {
    kind: "run",
    task: id,
    prompt: [...prompt],
    delivered: [...delivered],
    outputTokensMax,
    tag,
    temperature: sampling.temperature,
    topP: sampling.topP,
    topK: sampling.topK ?? 0,
    minP: sampling.minP ?? 0,
    presencePenalty: sampling.presencePenalty ?? 0,
    frequencyPenalty: sampling.frequencyPenalty ?? 0,
    logitBias: (sampling.logitBias ?? []).map(([token, bias]) => [token, bias]),
    seed: sampling.seed ?? Math.floor(Math.random() * SEED_SPAN),
    ...(grammar === undefined ? {} : { grammar: { ...grammar } }),
    ...(logprobs === undefined ? {} : { logprobs }),
    ...(thinkingTokensMax === undefined ? {} : { thinkingTokensMax }),
  };
}
