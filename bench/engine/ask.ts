/**
 * One streamed chat completion as a client sees it, with as little work of our own as possible: the client shares the
 * machine with what it measures. Raw node:http, no JSON but that of the one event that has the usage.
 */
import { Agent, request, type ClientRequest } from "node:http";
import { z } from "zod";

export type Asked = {
  readonly content: string;
  readonly outputTokens: number;
};

export type Answered = {
  /** From sending to the first event with text. */
  readonly firstMs: number;
  readonly totalMs: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly outputTokens: number;
};

const Usage = z.object({
  usage: z.object({
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    prompt_tokens_details: z.object({ cached_tokens: z.int() }).optional(),
  }),
});

/**
 * Text, not the role: `"content":"x"`, but neither `"content":""` nor `"content":null`. Or the end: random weights say
 * halves of characters, which show nothing.
 */
const FIRST_TEXT = /"(?:reasoning_)?content":\s*"[^"]|"finish_reason":\s*"/;

/** A connection per request: one of the two closes those that rest while the other has its turn. */
const agent = new Agent({ keepAlive: false });

function bodyOf(model: string, asked: Asked): string {
  return JSON.stringify({
    model,
    messages: [{ role: "user", content: asked.content }],
    max_tokens: asked.outputTokens,
    temperature: 0.8,
    top_p: 0.95,
    stream: true,
    stream_options: { include_usage: true },
  });
}

export function ask(url: string, model: string, asked: Asked): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const sentAtMs = performance.now();
    let firstMs: number | undefined;
    let tail = "";
    const call: ClientRequest = request(
      new URL("/v1/chat/completions", url),
      { method: "POST", agent, headers: { "content-type": "application/json" } },
      (response) => {
        response.setEncoding("utf8");
        response.on("data", (text: string) => {
          if (firstMs === undefined && FIRST_TEXT.test(text)) firstMs = performance.now() - sentAtMs;
          // The usage is in the last events, and may come in pieces.
          tail = (tail + text).slice(-8_192);
        });
        response.on("error", reject);
        response.on("end", () => {
          const usage = usageIn(tail);
          if (response.statusCode !== 200 || usage === undefined || firstMs === undefined) {
            reject(new Error(`${url} answered ${String(response.statusCode)}: ${tail.slice(0, 300)}`));
            return;
          }
          resolve({
            firstMs,
            totalMs: performance.now() - sentAtMs,
            promptTokens: usage.prompt_tokens,
            cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
            outputTokens: usage.completion_tokens,
          });
        });
      },
    );
    call.on("error", reject);
    call.end(bodyOf(model, asked));
  });
}

function usageIn(tail: string): z.infer<typeof Usage>["usage"] | undefined {
  for (const line of tail.split("\n").toReversed()) {
    if (!line.startsWith("data: {") || !line.includes('"usage":{')) continue;
    return Usage.parse(JSON.parse(line.slice("data: ".length))).usage;
  }
  return undefined;
}
