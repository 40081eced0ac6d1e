/**
 * A finished chat completion as a list of what was said, made from a stream or from an answer in one piece, and printed
 * again as either. Pure. The list has no id, no date and no model name: those belong to the request that gets it.
 *
 * Strict on the way in: an answer with anything in it that this build does not know is not kept (undefined), because it
 * could not be told again honestly. What is known: one choice, text, reasoning, a refusal, tool calls.
 */
import { z } from "zod";

/** An answer whose text is longer is not kept. */
const SAID_CHARS_MAX = 512 * 1024;

const ToolCall = z.strictObject({
  index: z.int().min(0),
  id: z.string().nullish(),
  type: z.literal("function").nullish(),
  function: z.strictObject({ name: z.string().nullish(), arguments: z.string().nullish() }).nullish(),
});
type ToolCall = z.infer<typeof ToolCall>;

const Delta = z.strictObject({
  role: z.literal("assistant").nullish(),
  content: z.string().nullish(),
  reasoning_content: z.string().nullish(),
  refusal: z.string().nullish(),
  tool_calls: z.array(ToolCall).nullish(),
});

const Finish = z.enum(["stop", "length", "tool_calls"]);

const Said = z.strictObject({ delta: Delta, finish: Finish.nullable() });
type Said = z.infer<typeof Said>;

const Usage = z.record(z.string(), z.unknown());

export const Finished = z.strictObject({
  fingerprint: z.string().nullable(),
  said: z.array(Said),
  usage: Usage,
});
/** One answer, told to its natural end. */
export type Finished = z.infer<typeof Finished>;

const Chunk = z.strictObject({
  id: z.string(),
  object: z.literal("chat.completion.chunk"),
  created: z.number(),
  model: z.string(),
  system_fingerprint: z.string().nullish(),
  choices: z
    .array(
      z.strictObject({
        index: z.literal(0),
        delta: Delta,
        logprobs: z.null().optional(),
        finish_reason: Finish.nullish(),
      }),
    )
    .max(1),
  usage: Usage.nullish(),
});

const Whole = z.strictObject({
  id: z.string(),
  object: z.literal("chat.completion"),
  created: z.number(),
  model: z.string(),
  system_fingerprint: z.string().nullish(),
  choices: z.tuple([
    z.strictObject({
      index: z.literal(0),
      message: z.strictObject({
        role: z.literal("assistant"),
        content: z.string().nullish(),
        reasoning_content: z.string().nullish(),
        refusal: z.string().nullish(),
        tool_calls: z.array(ToolCall.omit({ index: true })).nullish(),
      }),
      logprobs: z.null().optional(),
      finish_reason: Finish,
    }),
  ]),
  usage: Usage,
});

export type Counts = {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens: number;
};

/** Whom an answer is printed for. */
export type ReplayFace = {
  readonly id: string;
  readonly createdS: number;
  readonly model: string;
  readonly includeUsage: boolean;
};

/** From the events a client was sent, in order. `counts` make the usage where the client asked for none. */
export function finishedFromStream(events: string, counts: Counts): Finished | undefined {
  if (events.length > 4 * SAID_CHARS_MAX) return undefined;
  let fingerprint: string | null = null;
  let usage: Finished["usage"] | undefined;
  let done = false;
  const said: Said[] = [];
  for (const line of events.split("\n")) {
    if (!line.startsWith("data: ")) continue;
    // Something after the end: not an answer of ours.
    if (done) return undefined;
    const data = line.slice("data: ".length);
    done = data === "[DONE]";
    if (done) continue;
    const chunk = parse(Chunk, data);
    if (chunk === undefined) return undefined;
    fingerprint ??= chunk.system_fingerprint ?? null;
    usage = chunk.usage ?? usage;
    const [choice] = chunk.choices;
    if (choice !== undefined) said.push({ delta: choice.delta, finish: choice.finish_reason ?? null });
  }
  if (!done) return undefined;
  return checked({ fingerprint, said, usage: usage ?? printUsage(counts) });
}

/** From the JSON text of an answer in one piece. */
export function finishedFromWhole(text: string): Finished | undefined {
  const whole = text.length > 4 * SAID_CHARS_MAX ? undefined : parse(Whole, text);
  if (whole === undefined) return undefined;
  const { message, finish_reason: finish } = whole.choices[0];
  const { content, reasoning_content: reasoning, refusal, tool_calls: calls } = message;
  const thought = reasoning !== null && reasoning !== undefined;
  const said: Said[] = [
    thought
      ? delta({ role: "assistant", content: null, reasoning_content: "" })
      : delta({ role: "assistant", content: content === null || content === undefined ? null : "" }),
  ];
  if (thought && reasoning !== "") said.push(delta({ reasoning_content: reasoning }));
  if (content !== null && content !== undefined && (thought || content !== "")) said.push(delta({ content }));
  if (refusal !== null && refusal !== undefined) said.push(delta({ refusal }));
  for (const [index, call] of (calls ?? []).entries()) said.push(delta({ tool_calls: [{ index, ...call }] }));
  said.push({ delta: {}, finish });
  return checked({ fingerprint: whole.system_fingerprint ?? null, said, usage: whole.usage });
}

function delta(what: Said["delta"]): Said {
  return { delta: what, finish: null };
}

/** Exactly one end, and it is the last thing said. */
function checked(finished: Finished): Finished | undefined {
  const ends = finished.said.filter(({ finish }) => finish !== null).length;
  if (ends !== 1 || finished.said.at(-1)?.finish === null) return undefined;
  return finished;
}

function parse<Out>(schema: z.ZodType<Out>, text: string): Out | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

export function printReplay(finished: Finished, face: ReplayFace, stream: boolean): string {
  return stream ? printStream(finished, face) : printWhole(finished, face);
}

/** The events of a stream, `[DONE]` included. */
function printStream({ fingerprint, said, usage }: Finished, face: ReplayFace): string {
  const common = {
    id: face.id,
    object: "chat.completion.chunk",
    created: face.createdS,
    model: face.model,
    system_fingerprint: fingerprint,
  };
  const chunks: object[] = said.map((one) => ({
    ...common,
    choices: [{ index: 0, delta: one.delta, logprobs: null, finish_reason: one.finish }],
    ...(face.includeUsage ? { usage: null } : {}),
  }));
  if (face.includeUsage) chunks.push({ ...common, choices: [], usage });
  return `${chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")}data: [DONE]\n\n`;
}

function printWhole({ fingerprint, said, usage }: Finished, face: ReplayFace): string {
  const text = (field: "content" | "reasoning_content" | "refusal"): string | null => {
    const parts = said.flatMap((one) => one.delta[field] ?? []);
    return parts.length === 0 ? null : parts.join("");
  };
  const calls = toolCalls(said);
  const reasoning = text("reasoning_content");
  const message = {
    role: "assistant",
    // An answer that was all thinking has an empty text; one that was all calls has none.
    content: text("content") ?? (calls.length > 0 ? null : ""),
    ...(reasoning === null ? {} : { reasoning_content: reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    refusal: text("refusal"),
  };
  return JSON.stringify({
    id: face.id,
    object: "chat.completion",
    created: face.createdS,
    model: face.model,
    system_fingerprint: fingerprint,
    choices: [{ index: 0, message, logprobs: null, finish_reason: said.at(-1)?.finish ?? "stop" }],
    usage,
  });
}

/** Tool calls come in pieces, each with its index; only the arguments grow. */
function toolCalls(said: readonly Said[]): object[] {
  const calls = new Map<number, { id: string; name: string; arguments: string }>();
  for (const piece of said.flatMap((one) => one.delta.tool_calls ?? [])) {
    const call = calls.get(piece.index) ?? { id: "", name: "", arguments: "" };
    call.id ||= piece.id ?? "";
    call.name ||= piece.function?.name ?? "";
    call.arguments += piece.function?.arguments ?? "";
    calls.set(piece.index, call);
  }
  return [...calls.entries()]
    .toSorted(([a], [b]) => a - b)
    .map(([, { id, name, arguments: text }]) => ({
      id,
      type: "function",
      function: { name, arguments: text },
    }));
}

/** In OpenAI's words and in DeepSeek's, as nodes print it. */
export function printUsage(counts: Counts): Finished["usage"] {
  const { promptTokens: prompt, cachedTokens: cached, completionTokens: completion } = counts;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: counts.reasoningTokens },
    prompt_cache_hit_tokens: cached,
    prompt_cache_miss_tokens: prompt - cached,
  };
}

const UsageCounts = z.object({
  prompt_tokens: z.int().min(0),
  completion_tokens: z.int().min(0),
  prompt_tokens_details: z.object({ cached_tokens: z.int().min(0).default(0) }).nullish(),
  completion_tokens_details: z.object({ reasoning_tokens: z.int().min(0).default(0) }).nullish(),
});

/** What a kept answer's usage says, for its row; undefined where it says nothing that could be counted. */
export function countsOf({ usage }: Finished): Counts | undefined {
  const read = UsageCounts.safeParse(usage).data;
  if (read === undefined) return undefined;
  return {
    promptTokens: read.prompt_tokens,
    cachedTokens: read.prompt_tokens_details?.cached_tokens ?? 0,
    completionTokens: read.completion_tokens,
    reasoningTokens: read.completion_tokens_details?.reasoning_tokens ?? 0,
  };
}
