/**
 * What the engine's child process and its supervisor say to each other, validated on both sides: they are two builds
 * of the same file only as long as nobody restarts one of them in the middle of a deployment.
 * Token ids travel, never text or bytes: the parent knows the vocabulary from the file. The child sends one `events`
 * message for all tasks together, of one turn or of several short ones (outbox.ts).
 */
import { z } from "zod";

const Count = z.int().min(0);
const Ids = z.array(Count);
/** Null forbids: JSON knows no -Infinity. */
const Bias = z
  .number()
  .nullable()
  .transform((bias) => bias ?? Number.NEGATIVE_INFINITY);

export const Gpu = z.union([
  z.literal("auto"),
  z.literal("cuda"),
  z.literal("vulkan"),
  z.literal("metal"),
  z.literal(false),
]);
export type Gpu = z.infer<typeof Gpu>;

const Call = z.object({ name: z.string(), arguments: z.string() }).readonly();
const Chat = z.object({
  messages: z
    .array(
      z.object({
        role: z.enum(["system", "user", "assistant", "tool"]),
        content: z.string(),
        reasoning: z.string().exactOptional(),
        toolCalls: z.array(Call).readonly().exactOptional(),
      }),
    )
    .readonly(),
  thinking: z.boolean(),
  tools: z
    .array(z.object({ name: z.string(), description: z.string(), parameters: z.string() }))
    .readonly()
    .exactOptional(),
  prefix: z.object({ reasoning: z.string(), content: z.string() }).exactOptional(),
});

export const ToChild = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("load"),
    weightsPath: z.string(),
    gpu: Gpu,
    slots: z.int().min(1),
    /** Undefined: what the model was trained for, up to a limit. */
    contextTokens: z.int().min(1).optional(),
    /** Undefined: as many as prove fastest. */
    threads: z.int().min(1).optional(),
    /** Whether it is to make embeddings, too. */
    embeddings: z.boolean(),
    /** Memory that looks free and is not; undefined: nobody is to look whether the model fits. */
    occupiedBytes: Count.optional(),
  }),
  z.object({
    kind: z.literal("run"),
    task: Count,
    prompt: Ids,
    delivered: Ids,
    outputTokensMax: Count,
    temperature: z.number().min(0),
    topP: z.number().min(0).max(1),
    topK: Count,
    minP: z.number().min(0).max(1),
    presencePenalty: z.number(),
    frequencyPenalty: z.number(),
    logitBias: z.array(z.tuple([Count, Bias])),
    seed: z.number(),
    tag: z.string(),
    grammar: z.object({ gbnf: z.string(), after: Count.optional() }).optional(),
    logprobs: Count.optional(),
    thinkingTokensMax: Count.optional(),
  }),
  z.object({ kind: z.literal("stop"), task: Count }),
  z.object({ kind: z.literal("embed"), ask: Count, tokens: Ids }),
  z.object({ kind: z.literal("stop_embedding"), ask: Count }),
  z.object({
    kind: z.literal("encode"),
    ask: Count,
    /** A chat, or a text as it is. */
    what: z.union([Chat, z.object({ text: z.string() })]),
    tokensMax: Count.optional(),
  }),
]);
export type ToChild = z.infer<typeof ToChild>;
export type LoadMessage = Extract<ToChild, { kind: "load" }>;
export type RunMessage = Extract<ToChild, { kind: "run" }>;
export type EncodeMessage = Extract<ToChild, { kind: "encode" }>;

/** Of one token; ids like everywhere here. */
const Logprobs = z.object({
  own: z.number(),
  top: z.array(z.tuple([Count, z.number()]).readonly()).readonly(),
});

export const TaskEvent = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("started"), task: Count, cached: Count }),
  z.object({ kind: z.literal("evaluated"), task: Count, promptTokens: Count }),
  z.object({ kind: z.literal("tokens"), task: Count, ids: Ids, logprobs: z.array(Logprobs).optional() }),
  z.object({ kind: z.literal("end"), task: Count, why: z.enum(["stop", "length"]) }),
  z.object({ kind: z.literal("refused"), task: Count, reason: z.string() }),
]);
export type TaskEvent = z.infer<typeof TaskEvent>;

export const FromChild = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("ready"),
    backend: z.string(),
    contextTokens: z.int().min(1),
    endTokens: Ids,
    /** Ids the engine treats as control tokens, whatever the file's types say. */
    controlTokens: Ids,
    /** The length of an embedding, where it makes them. */
    embeddingDimensions: z.int().min(1).optional(),
    /** How the model calls tools, where it does. */
    tools: z.enum(["v3", "v3.1", "v3.2"]).optional(),
    /** Base64 by id, where the file alone does not tell a token's bytes. */
    pieces: z.array(z.string()).optional(),
  }),
  /** Loading failed, with the loader's words: for want of memory, or because of the file. The child exits. */
  z.object({ kind: z.literal("bad"), reason: z.string(), noMemory: z.boolean() }),
  z.object({ kind: z.literal("events"), events: z.array(TaskEvent) }),
  z.object({ kind: z.literal("encoded"), ask: Count, tokens: Ids }),
  /** Little-endian 32-bit floats, base64; null where it was stopped. */
  z.object({ kind: z.literal("embedded"), ask: Count, vector: z.string().nullable() }),
  z.object({ kind: z.literal("unencodable"), ask: Count, reason: z.string() }),
  z.object({ kind: z.literal("log"), line: z.string() }),
]);
export type FromChild = z.infer<typeof FromChild>;
export type ReadyMessage = Extract<FromChild, { kind: "ready" }>;
