/**
 * An upstream's stream of chunks, told again as a node would tell it: with notes of how far it has come, the end in one piece,
 * and this API's own ids and names. Pure. The one place where the edge prints events: upstreams do not speak the nodes' protocol,
 * and everything behind this file need not know that.
 *
 * Positions are counted, because nobody says them: an upstream's are the greater of the pieces with text that came and a quarter
 * of the text's bytes. They stand in the notes, and on the bill where the upstream reports no usage. What it does report with its
 * finish or behind it (before, it is a count on the way) is believed, up to what is held; but that something was cached is told
 * only where nobody else's prompt can have put it there. More pieces than output tokens are held, or more bytes than so many
 * tokens have, end the answer with `length`, whatever was asked for.
 */
import { MORE, printNote, printWorking, type Note } from "@sluice/protocol/events";
import { TOKENS_MAX } from "@sluice/protocol/limits";
import type { Ending } from "@sluice/protocol/receipt";
import { z } from "zod";
import type { Counts, ReplayFace } from "../wire/openai-replay.ts";
import { BYTES_PER_TOKEN } from "./ask.ts";
import { CallPiece, ToolCalls } from "./calls.ts";
import {
  printDelta,
  printFinish,
  printUsageChunk,
  printWhole,
  type Delta,
  type FinishReason,
  type ToolCallPiece,
} from "./print.ts";
import { SseReader } from "./sse.ts";

/** What is kept of one answer until it is told, whatever is held for it. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
/** Of that, for each output token held: the longest there are have some 128. */
const TOKEN_BYTES_MAX = 256;
/** What a tool call's piece takes beside its text. */
const CALL_PIECE_BYTES = 64;

const Tokens = z.int().min(0).max(TOKENS_MAX);

/** OpenAI's usage, and what DeepSeek calls its cache's part. */
const Usage = z.object({
  prompt_tokens: Tokens,
  completion_tokens: Tokens,
  prompt_tokens_details: z.object({ cached_tokens: Tokens.nullish() }).nullish(),
  prompt_cache_hit_tokens: Tokens.nullish(),
  completion_tokens_details: z.object({ reasoning_tokens: Tokens.nullish() }).nullish(),
});

/** Some servers write text as requests may: in parts. */
const Text = z.union([
  z.string(),
  z
    .array(z.object({ type: z.literal("text").nullish(), text: z.string() }))
    .transform((parts) => parts.map(({ text }) => text).join("")),
]);

const Chunk = z.object({
  choices: z
    .array(
      z.object({
        index: z.int().nullish(),
        delta: z
          .object({
            content: Text.nullish(),
            reasoning_content: z.string().nullish(),
            /** The same, as newer servers call it. */
            reasoning: z.string().nullish(),
            tool_calls: z.array(CallPiece.nullish()).nullish(),
          })
          .nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .nullish(),
  usage: z.unknown().optional(),
  error: z.unknown().optional(),
});
type Chunk = z.infer<typeof Chunk>;

export type Settled = {
  readonly certainty: "reported" | "estimated";
  /** Within what is held. */
  readonly counts: Counts;
  /** As the upstream will have them on its own bill. */
  readonly raw: Counts;
};

export type Bounds = {
  readonly promptCeiling: number;
  readonly outputCeiling: number;
  /** Of the prompt, where nobody counts it. */
  readonly promptTokens: number;
  /** The upstream reuses no prefix across accounts: only then may one hear what was cached. */
  readonly isolated: boolean;
};

export class Translator {
  readonly #face: ReplayFace;
  readonly #stream: boolean;
  readonly #bounds: Bounds;
  readonly #reader = new SseReader();
  readonly #calls = new ToolCalls();
  readonly #said: Delta[] = [];
  #pieces = { all: 0, reasoning: 0 };
  #bytes = { all: 0, reasoning: 0 };
  #kept = 0;
  #usage: Counts | undefined;
  #finish: FinishReason | undefined;
  #over = false;

  constructor(face: ReplayFace, stream: boolean, bounds: Bounds) {
    this.#face = face;
    this.#stream = stream;
    this.#bounds = bounds;
  }

  /** The answer has been told to its end, or has failed: nothing that still comes matters. */
  get over(): boolean {
    return this.#over;
  }

  /** Positions counted so far. */
  get position(): number {
    return Math.min(this.#bounds.outputCeiling, tokensOf(this.#pieces.all, this.#bytes.all));
  }

  /** A node's events for these bytes of the upstream's; "" where they end none. */
  push(bytes: Uint8Array): string {
    let events: string[];
    try {
      events = this.#reader.push(bytes);
    } catch {
      return this.#fail();
    }
    let told = "";
    for (const data of events) if (!this.#over) told += this.#event(data);
    return told;
  }

  /** The connection has ended. Without a finish before, that is a cut, and nothing is said. */
  end(): string {
    return this.#over || this.#finish === undefined ? "" : this.#tellEnd(this.#finish);
  }

  settled(): Settled {
    const { promptCeiling, outputCeiling, promptTokens, isolated } = this.#bounds;
    const estimate = {
      promptTokens,
      cachedTokens: 0,
      completionTokens: tokensOf(this.#pieces.all, this.#bytes.all),
      reasoningTokens: tokensOf(this.#pieces.reasoning, this.#bytes.reasoning),
    };
    const raw = this.#usage ?? estimate;
    const prompt = Math.min(raw.promptTokens, promptCeiling);
    const completion = Math.min(raw.completionTokens, outputCeiling);
    const counts = {
      promptTokens: prompt,
      cachedTokens: isolated ? Math.min(raw.cachedTokens, prompt) : 0,
      completionTokens: completion,
      reasoningTokens: Math.min(raw.reasoningTokens, completion),
    };
    return { certainty: this.#usage === undefined ? "estimated" : "reported", counts, raw };
  }

  #event(data: string): string {
    if (data.trim() === "") return "";
    if (data === "[DONE]") return this.#finish === undefined ? this.#fail() : this.#tellEnd(this.#finish);
    let chunk: Chunk | undefined;
    try {
      chunk = Chunk.safeParse(JSON.parse(data)).data;
    } catch {
      chunk = undefined;
    }
    if (chunk === undefined || (chunk.error !== undefined && chunk.error !== null)) return this.#fail();
    const choice = chunk.choices?.find(({ index }) => (index ?? 0) === 0);
    const told = choice === undefined ? "" : this.#delta(choice.delta ?? {});
    if (this.#over) return told;
    const reason = choice?.finish_reason;
    if (reason && CUT.has(reason)) return told + this.#fail();
    if (reason) this.#finish ??= finishOf(reason);
    if (this.#finish !== undefined) this.#usage = this.#believable(usageOf(chunk.usage)) ?? this.#usage;
    return told;
  }

  /** What nobody can have counted so is no count: servers that have none yet, or never, write zeros. */
  #believable(usage: Counts | undefined): Counts | undefined {
    if (usage === undefined || usage.promptTokens === 0) return undefined;
    return usage.completionTokens === 0 && this.#pieces.all > 0 ? undefined : usage;
  }

  #delta(said: NonNullable<NonNullable<Chunk["choices"]>[number]["delta"]>): string {
    const calls = this.#calls.read(said.tool_calls ?? []);
    const delta: Delta = {
      reasoning: said.reasoning_content || said.reasoning || undefined,
      content: said.content || undefined,
      calls: calls.length === 0 ? undefined : calls,
    };
    const { reasoning = "", content = "" } = delta;
    const text = reasoning + content + calls.map((call) => (call.name ?? "") + call.arguments).join("");
    // What only says who speaks is said with the first text.
    if (text === "" && calls.length === 0) return "";
    const bytes = byteLength(text);
    const kept = this.#kept + bytes + calls.reduce((sum, call) => sum + sizeBesideText(call), 0);
    if (this.#pieces.all >= this.#bounds.outputCeiling || kept > keptMax(this.#bounds))
      return this.#tellEnd("length");
    const first = this.#pieces.all === 0;
    this.#kept = kept;
    this.#pieces.all += 1;
    this.#bytes.all += bytes;
    if (reasoning !== "") {
      this.#pieces.reasoning += 1;
      this.#bytes.reasoning += byteLength(reasoning);
    }
    if (!this.#stream) {
      this.#said.push(delta);
      return printWorking(this.position);
    }
    return `${this.#note(first)}data: ${printDelta(this.#face, delta, first)}\n\n`;
  }

  #note(first: boolean, more: Pick<Note, "to" | "reasoning" | "ended"> = {}): string {
    if (!first) return printNote({ to: this.position, ...more });
    const { promptTokens: prompt, cachedTokens: cached } = this.settled().counts;
    return printNote({ prompt, cached, from: 0, to: this.position, ...more });
  }

  /** In one piece: whoever reads it has the whole end, or nothing of it. */
  #tellEnd(reason: FinishReason): string {
    this.#over = true;
    const { counts } = this.settled();
    const first = this.#pieces.all === 0;
    // The last word on positions is the bill's: it may correct what was counted on the way.
    const to = counts.completionTokens;
    const ended = { to, reasoning: counts.reasoningTokens, ended: endingOf(reason) };
    if (!this.#stream)
      return `${this.#note(true, ended)}data: ${printWhole(this.#face, this.#said, reason, counts)}\n\n`;
    const usage = this.#face.includeUsage ? `data: ${printUsageChunk(this.#face, counts)}\n${MORE}\n` : "";
    const finish = `${this.#note(first)}data: ${printFinish(this.#face, reason, first)}\n${MORE}\n`;
    return `${finish}${usage}${this.#note(false, ended)}data: [DONE]\n\n`;
  }

  #fail(): string {
    this.#over = true;
    return `${printNote({ to: this.position, ended: "engine_died" })}\n`;
  }
}

function keptMax({ outputCeiling }: Bounds): number {
  return Math.min(ANSWER_BYTES_MAX, outputCeiling * TOKEN_BYTES_MAX);
}

function sizeBesideText({ id = "" }: ToolCallPiece): number {
  return CALL_PIECE_BYTES + byteLength(id);
}

function tokensOf(pieces: number, bytes: number): number {
  return Math.max(pieces, Math.ceil(bytes / BYTES_PER_TOKEN));
}

const encoder = new TextEncoder();

function byteLength(text: string): number {
  return encoder.encode(text).length;
}

function usageOf(raw: unknown): Counts | undefined {
  const usage = Usage.safeParse(raw).data;
  if (usage === undefined) return undefined;
  const promptTokens = usage.prompt_tokens;
  return {
    promptTokens,
    cachedTokens: Math.min(
      promptTokens,
      usage.prompt_tokens_details?.cached_tokens ?? usage.prompt_cache_hit_tokens ?? 0,
    ),
    completionTokens: usage.completion_tokens,
    reasoningTokens: usage.completion_tokens_details?.reasoning_tokens ?? 0,
  };
}

/** Finishes that are none, in the words of vLLM, SGLang, OpenRouter and DeepSeek: the server has given up. */
const CUT: ReadonlySet<string> = new Set(["abort", "error", "insufficient_system_resource"]);

function finishOf(reason: string): FinishReason {
  if (reason === "length" || reason === "content_filter") return reason;
  return reason === "tool_calls" || reason === "function_call" ? "tool_calls" : "stop";
}

/** That an upstream's own filter ended it is for its client to read; to the books it is an end. */
function endingOf(reason: FinishReason): Ending {
  return reason === "content_filter" ? "stop" : reason;
}
