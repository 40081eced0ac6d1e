/**
 * What the scripted upstream answers, rendered once: for every scene the bytes in plain OpenAI, and the same bytes in
 * the node's protocol, that is with positions in comments. Pure.
 *
 * Scenes are told apart by the model's name alone, because one of the gateways under test drops body fields it does not
 * know.
 */
import { printNote } from "@sluice/protocol/events";

export const STREAM_EVENTS = 200;
export const PROMPT_TOKENS = 24;
export const JSON_TOKENS = 64;

export type Scene = {
  readonly model: string;
  /** Undefined: not a stream. 0: everything in one write. */
  readonly gapMs: number | undefined;
  /** A burst whose chunks are cut as the other tongue would cut them. */
  readonly swapped?: true;
};

export const SCENES = {
  json: { model: "bench-json", gapMs: undefined },
  burst: { model: "bench-burst", gapMs: 0 },
  swapped: { model: "bench-swapped", gapMs: 0, swapped: true },
  gap2: { model: "bench-gap2", gapMs: 2 },
  gap20: { model: "bench-gap20", gapMs: 20 },
} as const satisfies { readonly [name: string]: Scene };
export type SceneName = keyof typeof SCENES;

/** Whom the answer is for. */
export type Tongue = "openai" | "node";

export type Rendered = {
  readonly scene: Scene;
  /** Positions of the whole answer. */
  readonly tokens: number;
  /** Status line, headers and, where the answer is no stream, the body. */
  readonly head: Buffer;
  /** HTTP chunks; the last one carries the end of the message too. Empty where the answer is no stream. */
  readonly chunks: readonly Buffer[];
  /** Head and all chunks, for one write. */
  readonly whole: Buffer;
};

const WORDS = ["the ", "edge ", "takes ", "a ", "call ", "and ", "hands ", "it ", "on ", "again "] as const;
const CREATED_S = 1_790_000_000;

function chunkOf(model: string, delta: object, finish: string | null): string {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }];
  const id = "chatcmpl-0123456789abcdefghijklmnop";
  return JSON.stringify({ id, object: "chat.completion.chunk", created: CREATED_S, model, choices });
}

function eventsOf({ model }: Scene, tongue: Tongue): string[] {
  const events = Array.from({ length: STREAM_EVENTS }, (_, at) => {
    const last = at === STREAM_EVENTS - 1;
    const delta = last
      ? {}
      : { ...(at === 0 ? { role: "assistant" } : {}), content: WORDS[at % WORDS.length] };
    const to = at + 1;
    const first = at === 0 ? { prompt: PROMPT_TOKENS, cached: 0, from: 0 } : {};
    const note = tongue === "node" ? printNote({ ...first, to, ids: [1_000 + (at % WORDS.length)] }) : "";
    return `${note}data: ${chunkOf(model, delta, last ? "stop" : null)}\n\n`;
  });
  const end = tongue === "node" ? printNote({ to: STREAM_EVENTS, ended: "stop" }) : "";
  return [...events, `${end}data: [DONE]\n\n`];
}

function completionOf({ model }: Scene): string {
  const content = Array.from({ length: JSON_TOKENS - 1 }, (_, at) => WORDS[at % WORDS.length]).join("");
  return JSON.stringify({
    id: "chatcmpl-0123456789abcdefghijklmnop",
    object: "chat.completion",
    created: CREATED_S,
    model,
    choices: [{ index: 0, message: { role: "assistant", content }, logprobs: null, finish_reason: "stop" }],
    usage: {
      prompt_tokens: PROMPT_TOKENS,
      completion_tokens: JSON_TOKENS,
      total_tokens: PROMPT_TOKENS + JSON_TOKENS,
    },
  });
}

function headOf(type: string, framing: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\nconnection: keep-alive\r\n${framing}\r\n\r\n`;
}

/** What gpu-node hands to the kernel at a time, and so the largest HTTP chunk it sends. */
const SLICE_BYTES = 16 * 1024;

/**
 * How a burst is cut into HTTP chunks: by OpenAI's servers, and vLLM's, one for each event; by a gpu-node, which writes
 * what is ready in one piece, one for each slice of that. The bytes are the same.
 */
function piecesOf(events: readonly string[], gathered: boolean): readonly Buffer[] {
  if (!gathered) return events.map((event) => Buffer.from(event));
  const whole = Buffer.from(events.join(""));
  const slices = Math.ceil(whole.length / SLICE_BYTES);
  return Array.from({ length: slices }, (_, at) => whole.subarray(at * SLICE_BYTES, (at + 1) * SLICE_BYTES));
}

const EVENT_STREAM = "text/event-stream; charset=utf-8";

export function render(scene: Scene, tongue: Tongue): Rendered {
  if (scene.gapMs === undefined) {
    const json = completionOf(scene);
    const note = printNote({ prompt: PROMPT_TOKENS, cached: 0, from: 0, to: JSON_TOKENS, ended: "stop" });
    const body = tongue === "node" ? `${note}data: ${json}\n\n` : json;
    const type = tongue === "node" ? EVENT_STREAM : "application/json";
    const head = Buffer.from(headOf(type, `content-length: ${Buffer.byteLength(body)}`) + body);
    return { scene, tokens: JSON_TOKENS, head, chunks: [], whole: head };
  }
  const head = Buffer.from(headOf(EVENT_STREAM, "transfer-encoding: chunked"));
  const events = eventsOf(scene, tongue);
  const gathered = scene.gapMs === 0 && (tongue === "node") !== (scene.swapped ?? false);
  const pieces = piecesOf(events, gathered);
  const chunks = pieces.map((piece, at) =>
    Buffer.concat([
      Buffer.from(`${piece.length.toString(16)}\r\n`),
      piece,
      Buffer.from(at === pieces.length - 1 ? "\r\n0\r\n\r\n" : "\r\n"),
    ]),
  );
  return { scene, tokens: STREAM_EVENTS, head, chunks, whole: Buffer.concat([head, ...chunks]) };
}

/** The body a client sends for a scene: of ordinary size, with the fields ordinary clients send. */
export function requestBody(scene: Scene, also: { readonly [field: string]: unknown } = {}): string {
  return JSON.stringify({
    model: scene.model,
    messages: [
      { role: "system", content: "You are a helpful assistant. Answer briefly and to the point." },
      { role: "user", content: "Which way does a request travel from the edge to a machine and back?" },
    ],
    max_tokens: 400,
    temperature: 0.7,
    stream: scene.gapMs !== undefined,
    ...also,
  });
}
