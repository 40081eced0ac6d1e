/**
 * Server-sent events, as any server may write them, into the data of whole events. Pure. Lines end in LF, CR or CRLF, bytes
 * come cut anywhere, characters included; comments and fields other than `data` say nothing here.
 */

/** No event of a model's is larger. */
const EVENT_CHARS_MAX = 1024 * 1024;

export class SseReader {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #data: string[] = [];
  #chars = 0;

  /** The data of every event that these bytes end. Throws where an event does not end. */
  push(bytes: Uint8Array): string[] {
    let text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    // A CR at the end may be half of a line's end.
    const half = text.endsWith("\r");
    if (half) text = text.slice(0, -1);
    const lines = text.split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? "") + (half ? "\r" : "");
    const events: string[] = [];
    for (const line of lines) this.#line(line, events);
    if (this.#rest.length + this.#chars > EVENT_CHARS_MAX) throw new Error("an event without end");
    return events;
  }

  #line(line: string, events: string[]): void {
    if (line === "") {
      if (this.#data.length > 0) events.push(this.#data.join("\n"));
      this.#data = [];
      this.#chars = 0;
      return;
    }
    if (!line.startsWith("data:")) return;
    const data = line.slice(line.startsWith("data: ") ? "data: ".length : "data:".length);
    this.#data.push(data);
    // A line of nothing takes room, too.
    this.#chars += data.length + 1;
  }
}
