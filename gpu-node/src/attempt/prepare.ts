/**
 * From a parsed chat to a plan: counts the prompt, asks whether there is room, replays what earlier attempts delivered.
 * Tokenises, and does no other work of the engine: everything that can be refused is refused here.
 */
import type { CallHead } from "@sluice/protocol/call";
import type { Refusal } from "@sluice/protocol/refusal";
import { beginAnswer, step, type Answering, type Rules } from "../answer/reduce.ts";
import type { Engine } from "../engines/engine.ts";
import type { Chat } from "../intake/chat-body.ts";
import { roomFor } from "../intake/room.ts";
import type { Plan } from "./plan.ts";

/** What the sender decides beyond the chat itself: an edge by its call's head, standalone by defaults. */
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
  /** The request and the attempt, where there is an edge that counts them. */
  readonly name?: string;
};

export type Prepared =
  | { readonly ok: true; readonly plan: Plan }
  | { readonly ok: false; readonly refusal: Refusal };

const FINGERPRINT_CHARS = 12;

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

export async function prepare(engine: Engine, chat: Chat, frame: Frame): Promise<Prepared> {
  const { info } = engine;
  const thinking = info.think !== undefined && (chat.thinking ?? frame.thinkingDefault);
  const prompt = await engine.encodeChat({ messages: chat.messages, thinking }, info.contextTokens);
  const { resume } = frame;
  const room = roomFor({
    promptTokens: prompt.length,
    promptCeiling: frame.promptCeiling,
    outputCeiling: frame.outputCeiling,
    outputAsked: chat.outputAsked,
    from: resume?.from ?? 0,
    contextTokens: info.contextTokens,
  });
  if (!room.ok) return room;
  const rules: Rules = { endTokens: new Set(info.endTokens), think: info.think, stops: chat.stops };
  const begun = beginAnswer(thinking);
  const before = resume === undefined ? begun : await replay(engine, rules, begun, resume.tokens);
  return {
    ok: true,
    plan: {
      lane: frame.lane,
      task: {
        prompt,
        delivered: resume?.tokens ?? [],
        outputTokensMax: room.outputTokensMax,
        sampling: chat.sampling,
        tag: frame.tag,
        ...(frame.name === undefined ? {} : { name: frame.name }),
      },
      rules,
      before,
      echo: resume === undefined ? undefined : { prompt: resume.prompt, cached: resume.cached },
      face: {
        id: frame.responseId,
        createdS: frame.createdS,
        model: frame.modelAs,
        fingerprint: fingerprintOf(info.weights),
        includeUsage: chat.includeUsage,
      },
      stream: frame.stream,
      thinking,
      weights: info.weights,
      notes: frame.notes,
    },
  };
}
