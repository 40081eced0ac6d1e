/**
 * Requests to the server this engine fronts: JSON in, JSON or server-sent events out. Its address is the operator's; no
 * redirect is followed, and nothing waits for ever but what computes, which ends with its caller's signal or its connection.
 * What is posted holds prompts, and servers quote what they refuse or answer: of those answers an error has no word.
 */
import { request as httpRequest, Agent, type IncomingMessage } from "node:http";
import { request as httpsRequest, Agent as SecureAgent } from "node:https";

const ANSWER_TIMEOUT_MS = 30_000;
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const LINE_CHARS_MAX = 16 * 1024 * 1024;
const REASON_CHARS_MAX = 300;
/** Nobody is told to wait longer; by then it may be asked again. */
const RETRY_AFTER_MAX_MS = 60_000;
const SOCKETS_MAX = 512;

/** Too many requests, unavailable, overloaded. */
const LATER: ReadonlySet<number> = new Set([429, 503, 529]);

/** The server answered, and not with what was asked for. */
export class WireError extends Error {
  override readonly name = "WireError";
  readonly status: number;
  /** When it may be asked again, by its own word. */
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    { said = "", retryAfterMs }: { readonly said?: string; readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(`status ${status}${said === "" ? "" : `: ${said.slice(0, REASON_CHARS_MAX)}`}`);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  /** It has no room now. */
  get isLater(): boolean {
    return LATER.has(this.status);
  }
}

/** The server answered, and nobody can read it. */
export class UnreadableAnswer extends Error {
  override readonly name = "UnreadableAnswer";
}

/** Our own patience ended: nothing is known of the server. */
export class LateAnswer extends Error {
  override readonly name = "LateAnswer";

  constructor() {
    super(`it did not answer within ${ANSWER_TIMEOUT_MS / 1_000} s`);
  }
}

/** The server had closed a kept connection when it was used again: no sign of its death, and nothing was asked yet. */
class StaleConnection extends Error {}

/** A stream ended as if all were well, and its answer had no end. */
export class UnfinishedAnswer extends Error {
  override readonly name = "UnfinishedAnswer";

  constructor() {
    super("its answer ended without saying how");
  }
}

type Ask = {
  readonly method: string;
  readonly path: string;
  readonly bytes: Buffer | undefined;
  readonly signal: AbortSignal;
};

/** `https://host/openai`, `…/openai/` and `…/openai/v1` are the same server: paths say their `/v1` themselves. */
export function pathBelow({ pathname }: URL): string {
  return pathname.replace(/\/+$/, "").replace(/\/v1$/, "");
}

export class Wire {
  readonly #base: URL;
  /** What stands before every path: a server behind a proxy, say. */
  readonly #below: string;
  readonly #key: string | undefined;
  readonly #agent: Agent;

  constructor(base: URL, key: string | undefined) {
    this.#base = base;
    this.#below = pathBelow(base);
    this.#key = key;
    const options = { keepAlive: true, maxSockets: SOCKETS_MAX };
    this.#agent = base.protocol === "https:" ? new SecureAgent(options) : new Agent(options);
  }

  get(path: string): Promise<string> {
    return inTime(async (signal) => {
      const response = await this.#send("GET", path, undefined, signal);
      const text = await textOf(response);
      if (response.statusCode !== 200) throw new WireError(response.statusCode ?? 0, { said: text });
      return text;
    });
  }

  /** For what is answered at once; `compute` is for what is not. */
  post(path: string, body: unknown): Promise<unknown> {
    return inTime((signal) => this.compute(path, body, signal));
  }

  async compute(path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    const response = refuseErrors(await this.#send("POST", path, body, signal));
    const text = await textOf(response);
    return text === "" ? undefined : parse(text);
  }

  /** The data of each event, `[DONE]` left out. */
  async *events(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<unknown, void, void> {
    const response = refuseErrors(await this.#send("POST", path, body, signal));
    let rest = "";
    for await (const piece of response.setEncoding("utf8")) {
      const lines = (rest + String(piece)).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > LINE_CHARS_MAX) throw new UnreadableAnswer("an event is too long");
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice("data:".length).trim();
        if (data !== "[DONE]") yield parse(data);
      }
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(method: string, path: string, body: unknown, signal: AbortSignal): Promise<IncomingMessage> {
    const bytes = body === undefined ? undefined : Buffer.from(wellFormed(JSON.stringify(body)));
    const ask = { method, path, bytes, signal };
    try {
      return await this.#sendOnce(ask, this.#agent);
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error;
      return await this.#sendOnce(ask, false);
    }
  }

  /** Without an agent the connection is a new one. */
  #sendOnce({ method, path, bytes, signal }: Ask, agent: Agent | false): Promise<IncomingMessage> {
    const send = this.#base.protocol === "https:" ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const request = send(
        new URL(this.#below + path, this.#base),
        {
          method,
          agent,
          signal,
          headers: {
            ...(bytes === undefined
              ? {}
              : { "content-type": "application/json", "content-length": String(bytes.length) }),
            ...(this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}` }),
          },
        },
        resolve,
      );
      request.on("error", (error: NodeJS.ErrnoException) => {
        const stale = request.reusedSocket && error.code === "ECONNRESET" && !signal.aborted;
        reject(stale ? new StaleConnection() : error);
      });
      request.end(bytes);
    });
  }
}

async function inTime<Answer>(ask: (signal: AbortSignal) => Promise<Answer>): Promise<Answer> {
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  try {
    return await ask(signal);
  } catch (error) {
    throw signal.aborted ? new LateAnswer() : error;
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const piece of response.setEncoding("utf8")) {
    text += String(piece);
    if (text.length > ANSWER_BYTES_MAX) throw new UnreadableAnswer("an answer is too long");
  }
  return text;
}

function refuseErrors(response: IncomingMessage): IncomingMessage {
  if (response.statusCode === 200) return response;
  response.destroy();
  throw new WireError(response.statusCode ?? 0, { retryAfterMs: retryAfterOf(response.headers) });
}

/** `retry-after-ms`, or `retry-after` in seconds; a date is not waited for. */
function retryAfterOf(headers: IncomingMessage["headers"]): number | undefined {
  const exact = Number(headers["retry-after-ms"]);
  const ms = Number.isFinite(exact) ? exact : Number(headers["retry-after"]) * 1_000;
  return ms >= 0 ? Math.min(RETRY_AFTER_MAX_MS, Math.round(ms)) : undefined;
}

/** The parser's own error would quote the text. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UnreadableAnswer("an answer is not JSON");
  }
}

/** Half a character, which JSON can only escape, is no text to many servers: it becomes what bytes make of it, U+FFFD. */
function wellFormed(json: string): string {
  if (!json.includes("\\ud")) return json;
  return json.replaceAll(/\\(?:\\|ud[89a-f][0-9a-f]{2})/g, (escape) =>
    escape === "\\\\" ? escape : "\\ufffd",
  );
}
