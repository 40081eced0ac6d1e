/**
 * From what a client asks to a plan: counts the prompt, asks whether there is room, replays what earlier attempts delivered.
 * Tokenises, and does no other work of the engine: everything that can be refused is refused here.
 */
import type { CallHead } from "@sluice/protocol/call";
import type { Refusal } from "@sluice/protocol/refusal";
import { beginAnswer, step, type Answering, type Rules } from "../answer/reduce.ts";
import type { Engine, EngineInfo, Sampling, Task } from "../engines/engine.ts";
import { answerGrammar } from "../grammar/answer-grammar.ts";
import { FREE } from "../grammar/form.ts";
import { openingOf } from "../grammar/tools.ts";
import { invalidField, unsupportedHere, type Refused } from "../intake/refuse.ts";
import { roomFor } from "../intake/room.ts";
import type { Wish } from "../intake/wish.ts";
import type { Print } from "../print/face.ts";
import type { Plan } from "./plan.ts";

/** What the sender decides beyond the call itself: an edge by its call's head, standalone by defaults. */
export type Frame = Pick<
  CallHead,
  | "responseId"
  | "createdS"
  | "modelAs"
  | "thinkingDefault"
  | "tag"
  | "lane"
  | "promptCeiling"
  | "outputCeiling"
  | "stream"
> & {
  readonly resume: CallHead["resume"];
  readonly notes: boolean;
  readonly print: Print;
  readonly name?: string;
};

export type Prepared =
  | { readonly ok: true; readonly plan: Plan }
  | { readonly ok: false; readonly refusal: Refusal };

const FINGERPRINT_CHARS = 12;
/** Choices of one call draw from dice of their own. */
const SEED_STRIDE = 7_919;

/** Equal for equal weights, whichever node answers. */
function fingerprintOf(weights: string): string {
  return `fp_${weights.replaceAll(/[^\w]/g, "").slice(-FINGERPRINT_CHARS)}`;
}

async function replay(
  engine: Engine,
  rules: Rules,
  begun: Answering,
  tokens: readonly number[],
): Promise<Answering> {
  let state = begun;
  for (const token of await engine.decode(tokens)) state = step(rules, state, token).state;
  return state;
}

export async function prepare(engine: Engine, wish: Wish, frame: Frame): Promise<Prepared> {
  const { info } = engine;
  const odd = firstUnsupported(wish, info);
  if (odd !== undefined) return odd;
  const isChat = wish.input.kind === "chat";
  const thinks = isChat && (wish.thinking.thinks ?? frame.thinkingDefault);
  const prompt = await promptOf(engine, wish, thinks);
  if (prompt.length === 0) return invalidField(isChat ? "messages" : "prompt", "it has no tokens");
  const strange = outsideVocabulary(wish, prompt, info);
  if (strange !== undefined) return strange;
  const thinking = isChat && endsInThinking(prompt, info);
  const built = answerGrammar(
    can(info, "json") ? wish.form : FREE,
    info.tools,
    thinking ? info.think?.close : undefined,
  );
  if (!built.ok) return invalidField(built.path, built.message);
  const { resume } = frame;
  const room = roomFor({
    promptTokens: prompt.length,
    promptCeiling: frame.promptCeiling,
    outputCeiling: Math.floor(frame.outputCeiling / wish.choices),
    outputAsked: wish.outputAsked,
    from: resume?.from ?? 0,
    contextTokens: info.contextTokens,
  });
  if (!room.ok) return room;
  const rules: Rules = {
    endTokens: new Set(info.endTokens),
    think: isChat ? info.think : undefined,
    stops: wish.stops,
    tools: isChat ? info.tools : undefined,
  };
  const begun = beginAnswer(thinking);
  const before = resume === undefined ? begun : await replay(engine, rules, begun, resume.tokens);
  const task: Task = {
    prompt,
    delivered: resume?.tokens ?? [],
    outputTokensMax: room.outputTokensMax,
    sampling: { ...wish.sampling, logitBias: biasOf(wish, info) },
    tag: frame.tag,
    ...(frame.name === undefined ? {} : { name: frame.name }),
    ...(built.grammar === undefined ? {} : { grammar: built.grammar }),
    ...(wish.logprobs === undefined ? {} : { logprobs: wish.logprobs }),
    ...(info.told === true && wish.input.kind === "chat"
      ? {
          said: {
            messages: wish.input.messages,
            tools: wish.input.tools,
            form: wish.form,
            stops: wish.stops,
            thinks,
            ...(wish.thinking.saidBy === undefined ? {} : { thinksBy: wish.thinking.saidBy }),
          },
        }
      : {}),
    ...(thinking && wish.thinking.tokensMax !== undefined && can(info, "thinking_budget")
      ? { thinkingTokensMax: wish.thinking.tokensMax }
      : {}),
  };
  const lack = engine.lackFor?.(task);
  if (lack !== undefined) return unsupportedHere(lack.param, lack.what);
  return {
    ok: true,
    plan: {
      lane: frame.lane,
      promptTokens: prompt.length,
      tasks: Array.from({ length: wish.choices }, (_, choice) => ({
        ...task,
        sampling: diced(task.sampling, choice),
      })),
      rules,
      before,
      finishTold: before.stopped && rules.endTokens.has(resume?.tokens.at(-1) ?? -1),
      echo: resume === undefined ? undefined : { prompt: resume.prompt, cached: resume.cached },
      face: {
        id: frame.responseId,
        createdS: frame.createdS,
        model: frame.modelAs,
        fingerprint: fingerprintOf(info.weights),
        includeUsage: wish.includeUsage,
        logprobs: wish.logprobs,
      },
      print: frame.print,
      stream: frame.stream,
      thinking,
      weights: info.weights,
      notes: frame.notes,
      ...(info.told === true
        ? { told: { promptMax: frame.promptCeiling, positionsMax: room.outputTokensMax } }
        : {}),
    },
  };
}

function can({ features }: EngineInfo, feature: string): boolean {
  return features.includes(feature);
}

/** The first field that this engine and its model cannot honour. */
function firstUnsupported(wish: Wish, info: EngineInfo): Refused | undefined {
  const { sampling, form } = wish;
  if (info.answers === false) return unsupportedHere("model", "answering with a model that makes embeddings");
  if (wish.toolsAt !== undefined && !can(info, "tools"))
    return unsupportedHere(wish.toolsAt, "calling tools with this model");
  if (form.format.kind !== "text" && !can(info, "json"))
    return unsupportedHere("response_format", "a format other than text with this engine");
  if (form.call === "must" && form.tools.length > 0 && !can(info, "json"))
    return unsupportedHere("tool_choice", "a call in any case with this engine");
  if (wish.logprobs !== undefined && !can(info, "logprobs"))
    return unsupportedHere("logprobs", "returning log probabilities with this engine");
  if ((sampling.logitBias ?? []).length > 0 && !can(info, "logit_bias"))
    return unsupportedHere("logit_bias", "biasing tokens with this engine");
  if (!can(info, "penalties")) {
    if (sampling.frequencyPenalty) return unsupportedHere("frequency_penalty", "a penalty with this engine");
    if (sampling.presencePenalty) return unsupportedHere("presence_penalty", "a penalty with this engine");
  }
  if (wish.thinking.budgeted && !can(info, "thinking_budget"))
    return unsupportedHere("thinking.budget_tokens", "a budget for thinking with this engine");
  if (wish.choices > 1 && !can(info, "n"))
    return unsupportedHere("n", "more than one choice with this engine");
  if (wish.input.kind === "chat" && wish.input.prefix !== undefined && !can(info, "prefix"))
    return unsupportedHere("messages", "continuing a given answer with this model");
  return undefined;
}

/** Whatever the template made of the wish: the last mark of thinking says it. */
function endsInThinking(prompt: readonly number[], { think }: EngineInfo): boolean {
  return think !== undefined && prompt.lastIndexOf(think.open) > prompt.lastIndexOf(think.close);
}

/** Ids a client wrote itself. */
function outsideVocabulary(
  { input, sampling }: Wish,
  prompt: readonly number[],
  { vocabularyTokens }: EngineInfo,
): Refused | undefined {
  const field = (name: string): Refused =>
    invalidField(name, `the model's token ids are below ${vocabularyTokens}`);
  if (input.kind === "tokens" && prompt.some((id) => id >= vocabularyTokens)) return field("prompt");
  return sampling.logitBias?.some(([id]) => id >= vocabularyTokens) ? field("logit_bias") : undefined;
}

function promptOf(engine: Engine, { input }: Wish, asked: boolean): Promise<readonly number[]> {
  switch (input.kind) {
    case "chat": {
      const { messages, prefix, tools } = input;
      const thinking = asked && engine.info.think !== undefined;
      const chat = { messages, thinking, tools, ...(prefix === undefined ? {} : { prefix }) };
      return engine.encodeChat(chat, engine.info.contextTokens);
    }
    case "text":
      return engine.encodeText(input.text, engine.info.contextTokens);
    case "tokens":
      return Promise.resolve(input.tokens);
  }
}

/** A model that was told of no tools must not call any: what it wrote would be half a mark. */
function biasOf(
  { sampling, form, input }: Wish,
  { tools, features }: EngineInfo,
): NonNullable<Sampling["logitBias"]> {
  const bias = sampling.logitBias ?? [];
  if (
    tools === undefined ||
    input.kind !== "chat" ||
    form.tools.length > 0 ||
    !features.includes("logit_bias")
  )
    return bias;
  return [...bias, [openingOf(tools).token, Number.NEGATIVE_INFINITY]];
}

function diced(sampling: Sampling, choice: number): Sampling {
  return sampling.seed === undefined || choice === 0
    ? sampling
    : { ...sampling, seed: sampling.seed + choice * SEED_STRIDE };
}
