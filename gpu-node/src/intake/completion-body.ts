/**
 * A body of OpenAI's older text completions: a prompt as it is, without any template. Pure. One prompt in a call: several
 * would be several prompts on one bill. `echo` and `suffix` would need a prompt's own log probabilities, and a model that
 * fills in.
 */
import { z } from "zod";
import type { Parsed } from "./chat-body.ts";
import { invalidBody, parseJson, unsupported } from "./refuse.ts";
import { samplingFields, samplingOf, stopsOf, tokenCount } from "./sampling.ts";
import type { Input } from "./wish.ts";

const LOGPROBS_MAX = 5;
/** What that API does where nothing is said. */
const OUTPUT_TOKENS_DEFAULT = 16;
const TOKEN_ID_MAX = 10_000_000;

const Ids = z.array(z.int().min(0).max(TOKEN_ID_MAX)).min(1);

const CompletionBody = z.object({
  model: z.string().min(1).max(128),
  prompt: z.union([z.string(), Ids, z.array(z.string()).min(1), z.array(Ids).min(1)], {
    error: "a text, or a list of token ids",
  }),
  suffix: z.string().nullish(),
  echo: z.boolean().nullish(),
  best_of: z.int().nullish(),
  max_tokens: tokenCount,
  logprobs: z.int().min(0).max(LOGPROBS_MAX).nullish(),
  ...samplingFields,
});

export function parseCompletion(bytes: Uint8Array): Parsed {
  const json = parseJson(bytes);
  if (!json.ok) return json;
  const parsed = CompletionBody.safeParse(json.value);
  if (!parsed.success) return invalidBody(parsed.error);
  const body = parsed.data;
  if ((body.suffix ?? "") !== "") return unsupported("suffix", "filling in before a text");
  if (body.echo === true) return unsupported("echo", "giving the prompt back");
  if ((body.best_of ?? 1) > (body.n ?? 1)) return unsupported("best_of", "choosing the best of several");
  const input = inputOf(body.prompt);
  if (input === undefined) return unsupported("prompt", "more than one prompt in a call");
  const sampling = samplingOf(body);
  if (!sampling.ok) return sampling;
  return {
    ok: true,
    wish: {
      model: body.model,
      stream: body.stream ?? false,
      includeUsage: body.stream_options?.include_usage ?? false,
      input,
      toolsAt: undefined,
      thinking: { thinks: false, saidBy: undefined, tokensMax: undefined, budgeted: false },
      form: { format: { kind: "text" }, tools: [], call: "may", parallel: true },
      outputAsked: body.max_tokens ?? OUTPUT_TOKENS_DEFAULT,
      sampling: sampling.sampling,
      stops: stopsOf(body.stop),
      logprobs: body.logprobs ?? undefined,
      choices: body.n ?? 1,
    },
  };
}

function inputOf(prompt: z.infer<typeof CompletionBody>["prompt"]): Input | undefined {
  if (typeof prompt === "string") return { kind: "text", text: prompt };
  const [first, ...more] = prompt;
  if (typeof first === "number") return { kind: "tokens", tokens: prompt as readonly number[] };
  if (first === undefined || more.length > 0) return undefined;
  return typeof first === "string" ? { kind: "text", text: first } : { kind: "tokens", tokens: first };
}
