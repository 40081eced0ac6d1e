/** What upstreams say in these tests, all at once or as they are told to. */
export type Answer = (signal: AbortSignal | undefined) => Response | Promise<Response>;

const encoder = new TextEncoder();

export const chunk = (delta: object, finish: string | null = null): string =>
  JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] });
const USAGE = JSON.stringify({ choices: [], usage: { prompt_tokens: 30, completion_tokens: 3 } });
export const ORDINARY = [
  chunk({ role: "assistant", content: "" }),
  chunk({ content: "one " }),
  chunk({ content: "two" }),
  chunk({}, "stop"),
  USAGE,
  "[DONE]",
];
export const sse = (events: readonly string[]): string => events.map((data) => `data: ${data}\n\n`).join("");

export function events(text: string, status = 200): Response {
  return new Response(text, { status, headers: { "content-type": "text/event-stream" } });
}

/** An upstream that begins and goes on when it is told to. */
export function slowUpstream(answer: (give: Answer) => void) {
  let aborted = false;
  const { readable, writable } = new IdentityTransformStream();
  const writer = writable.getWriter();
  const write = (events: readonly string[]): Promise<void> => writer.write(encoder.encode(sse(events)));
  answer((signal) => {
    signal?.addEventListener("abort", () => {
      aborted = true;
      void writer.abort("gone").catch(() => undefined);
    });
    return new Response(readable, { headers: { "content-type": "text/event-stream" } });
  });
  return { write, close: () => writer.close(), isAborted: () => aborted };
}
