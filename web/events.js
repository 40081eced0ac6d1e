/**
 * Server-sent events out of a response body, as an async iterator of their data. Comments (keep-alives, the platform's
 * notes) are skipped, as the specification says; an event may arrive in any number of pieces.
 */

/** @param {ReadableStream<Uint8Array>} body */
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const events = rest.split(/\r?\n\r?\n/);
    rest = events.pop() ?? "";
    for (const event of events) {
      const data = event
        .split(/\r?\n/)
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart())
        .join("\n");
      if (data !== "") yield data;
    }
  }
}
