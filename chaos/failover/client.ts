/**
 * One client: the official SDK, unmodified but for a fetch that writes down every byte it passes on. What the SDK makes of
 * the stream and what the bytes say are kept apart; the judge compares them.
 */
import { notesOf } from "@sluice/protocol/events";
import OpenAI from "openai";
import type { Stream } from "./judge.ts";

export type Question = { readonly model: string; readonly content: string; readonly outputMax: number };

export type Caller = { readonly baseUrl: string; readonly apiKey: string };

/** No stream of a scene lasts this long: whatever does hangs. */
const STREAM_MS_MAX = 90_000;

/** Never rejects: what the SDK throws is a part of what is told. */
export async function ask({ baseUrl, apiKey }: Caller, question: Question): Promise<Stream> {
  let raw = "";
  let request = "";
  const recording: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    request = response.headers.get("x-request-id") ?? "";
    const decoder = new TextDecoder();
    const record = new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, controller) {
        raw += decoder.decode(bytes, { stream: true });
        controller.enqueue(bytes);
      },
    });
    const { status, headers } = response;
    return new Response(response.body?.pipeThrough(record) ?? null, { status, headers });
  };
  const sdk = new OpenAI({ apiKey, baseURL: `${baseUrl}/v1`, maxRetries: 0, fetch: recording });
  const startedAtMs = performance.now();
  const heardAtMs: number[] = [];
  let reasoning = "";
  let content = "";
  let usage: number | undefined;
  let error: string | undefined;
  try {
    const stream = await sdk.chat.completions.create(
      {
        model: question.model,
        messages: [{ role: "user", content: question.content }],
        temperature: 0,
        max_tokens: question.outputMax,
        stream: true,
        stream_options: { include_usage: true },
      },
      { headers: { "x-sluice-cache": "off" }, signal: AbortSignal.timeout(STREAM_MS_MAX) },
    );
    for await (const chunk of stream) {
      heardAtMs.push(performance.now());
      const delta = chunk.choices[0]?.delta as { content?: string; reasoning_content?: string } | undefined;
      reasoning += delta?.reasoning_content ?? "";
      content += delta?.content ?? "";
      usage = chunk.usage?.completion_tokens ?? usage;
    }
  } catch (thrown) {
    error = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  }
  heardAtMs.push(performance.now());
  const arrivals = notesOf(raw).flatMap(({ to, ids }) => (ids === undefined ? [] : [{ to: to ?? 0, ids }]));
  const done = raw.endsWith("data: [DONE]\n\n");
  return { request, error, done, reasoning, content, usage, arrivals, startedAtMs, heardAtMs };
}
