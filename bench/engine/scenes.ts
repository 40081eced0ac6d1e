/**
 * What is measured, each as one turn of one server. Prompts are made of a counter, so that no two share more than the
 * template's first tokens unless a scene wants them to.
 */
import { setTimeout as delay } from "node:timers/promises";
import { ask, type Answered } from "./ask.ts";
import type { BenchModel } from "./model.ts";
import { MODEL_ID, type Server } from "./servers.ts";

/** A prompt is well inside its evaluation after this long. */
const INTO_PREFILL_MS = 60;
const WORDS = ["count", "from", "seven", "apples", "to", "what", "is", "the", "sum", "of", "and", "number"];

let counter = 0;

/** A number nobody has used before in this run, spelled so that it begins differently each time. */
function fresh(): string {
  counter += 1;
  return String((counter * 7_919 + process.pid) % 1_000_003).padStart(7, "0");
}

/** About `tokens` tokens that begin with `start`. */
function longText(start: string, charsPerToken: number, tokens: number): string {
  const chars = Math.floor(tokens * charsPerToken);
  let text = start;
  for (let i = 0; text.length < chars; i++)
    text += ` ${WORDS[(i * 5 + (i >> 3)) % WORDS.length] ?? ""} ${i % 100}`;
  return text.slice(0, chars);
}

export class Scenes {
  readonly #model: BenchModel;
  /** Of our texts, measured once: the tokenizer is the model's own. */
  #charsPerToken = 2;

  constructor(model: BenchModel) {
    this.#model = model;
  }

  /** Finds out how many letters make the prompt as long as it should be; also wakes the server. */
  async calibrate(server: Server): Promise<void> {
    const chars = 600;
    const text = longText(fresh(), 1, chars);
    const { promptTokens } = await ask(server.url, MODEL_ID, { content: text, outputTokens: 1 });
    this.#charsPerToken = chars / promptTokens;
  }

  /** Tokens per second of `streams` answers at once, first letter to last. */
  async decode(server: Server, streams: number): Promise<number> {
    const startedAtMs = performance.now();
    const answers = await Promise.all(
      Array.from({ length: streams }, (_, i) =>
        ask(server.url, MODEL_ID, {
          content: `${this.#model.question}${" ".repeat(i)}`,
          outputTokens: this.#model.outputTokens,
        }),
      ),
    );
    const tokens = answers.reduce((sum, { outputTokens }) => sum + outputTokens, 0);
    return (tokens / (performance.now() - startedAtMs)) * 1_000;
  }

  /** A prompt nobody has seen, then another that shares all of it but its last words. */
  async prefill(server: Server): Promise<{ tokensPerS: number; coldMs: number; warmMs: number }> {
    const prefix = longText(fresh(), this.#charsPerToken, this.#model.promptTokens);
    const once = (tail: string): Promise<Answered> =>
      ask(server.url, MODEL_ID, { content: `${prefix} ${tail}`, outputTokens: 1 });
    const cold = await once("one?");
    const warm = await once("two?");
    if (warm.cachedTokens < cold.promptTokens / 2)
      throw new Error(`${server.url} did not reuse the prefix: ${warm.cachedTokens} of ${warm.promptTokens}`);
    const evaluated = cold.promptTokens - cold.cachedTokens;
    return { tokensPerS: (evaluated / cold.firstMs) * 1_000, coldMs: cold.firstMs, warmMs: warm.firstMs };
  }

  /** The first token of a short request that comes while a long prompt is evaluated. */
  async duringPrefill(server: Server): Promise<number> {
    const long = ask(server.url, MODEL_ID, {
      content: longText(fresh(), this.#charsPerToken, this.#model.promptTokens),
      outputTokens: 1,
    });
    await delay(INTO_PREFILL_MS);
    const short = await ask(server.url, MODEL_ID, { content: `Hi ${fresh()}`, outputTokens: 4 });
    await long;
    return short.firstMs;
  }
}
