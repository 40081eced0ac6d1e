/**
 * The client's book: one request sent over a real connection, and what came back, as the client itself can tell. It
 * counts positions by reading words; what Sluice says of them (usage, comments) is only compared later.
 */
import { z } from "zod";
import { countWords, hear, type Heard } from "../support/sse.ts";
import { messageOf, REPEATS, type Planned } from "./plan.ts";

export type Told = {
  readonly planned: Planned;
  readonly account: string;
  /** As the answer's header names it; undefined where no answer began. */
  readonly request: string | undefined;
  readonly status: number | undefined;
  /** The answer came whole: [DONE], or a JSON text. */
  readonly complete: boolean;
  /** Positions received, each once and in order; undefined where the text is not what the engine says. */
  readonly positions: number | undefined;
  readonly usage: { readonly prompt: number; readonly completion: number } | undefined;
  /** What the prompt really measures, for the script's tokenizer. */
  readonly promptTokens: number;
  /** The text of a refusal. */
  readonly refusal: string;
  /** Whether anything that came back, an error event included, has the key or the planted text in it. */
  readonly leaks: boolean;
};

const CALL_MS_MAX = 60_000;
/** Of an answer that could not be read. */
const SHOWN_CHARS = 1_000;
/** begin, user, assistant, and the mark that opens or closes thinking. */
const PROMPT_MARKS = 4;

const Whole = z.object({
  choices: z.array(
    z.object({
      message: z.object({ content: z.string().nullish(), reasoning_content: z.string().nullish() }),
      finish_reason: z.string(),
    }),
  ),
  usage: z.object({ prompt_tokens: z.int(), completion_tokens: z.int() }),
});

export type Caller = {
  readonly baseUrl: string;
  readonly account: string;
  readonly apiKey: string;
  readonly marker: string;
};

/**
 * Asks for the same answer under one Idempotency-Key until it has come, a few times at most: each time is a call of its
 * own, and they are told in the order they were made.
 */
export async function callAgain(
  caller: Caller,
  planned: Planned,
  ready: () => Promise<void>,
): Promise<Told[]> {
  const told: Told[] = [];
  for (let time = 0; time < REPEATS; time++) {
    await ready();
    told.push(await call(caller, planned));
    // Once more after it has come: it must not run a second time.
    if (told.at(-2)?.complete === true) break;
  }
  return told;
}

export async function call({ baseUrl, account, apiKey, marker }: Caller, planned: Planned): Promise<Told> {
  const content = messageOf(planned, marker);
  const body = {
    model: planned.kind === "bad_model" ? "no-such-model" : planned.model,
    messages: [{ role: "user", content }],
    stream: planned.stream,
    ...(planned.stream ? { stream_options: { include_usage: true } } : {}),
    ...(planned.maxTokens === undefined ? {} : { max_tokens: planned.maxTokens }),
    ...(planned.kind === "bad_body" ? { temperature: "warm" } : {}),
  };
  const leaving = new AbortController();
  const limits = [leaving.signal, AbortSignal.timeout(CALL_MS_MAX)];
  if (planned.leavesAfterMs !== undefined) setTimeout(() => leaving.abort(), planned.leavesAfterMs);
  let request: string | undefined;
  let status: number | undefined;
  let text = "";
  let whole = false;
  try {
    const response = await fetch(`${baseUrl}/v1/chat/completions`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${planned.kind === "bad_key" ? spoilt(apiKey) : apiKey}`,
        "content-type": "application/json",
        ...(planned.kind === "repeater" ? { "idempotency-key": `chaos ${planned.nr}` } : {}),
      },
      body: JSON.stringify(body),
      signal: AbortSignal.any(limits),
    });
    status = response.status;
    request = response.headers.get("x-request-id") ?? undefined;
    const decoder = new TextDecoder();
    for await (const bytes of response.body ?? []) text += decoder.decode(bytes, { stream: true });
    whole = true;
  } catch {
    // It left, or the other side died: what has come so far is what it has.
  }
  const promptTokens = PROMPT_MARKS + Buffer.byteLength(content);
  const leaks = text.includes(apiKey) || text.includes(marker);
  const told = { planned, account, request, status, promptTokens, refusal: "", leaks };
  if (status === undefined || status >= 300)
    return { ...told, complete: false, positions: 0, usage: undefined, refusal: text };
  try {
    const received = planned.stream ? ofStream(hear(text), planned) : ofWhole(text, whole);
    return { ...told, ...received };
  } catch (error) {
    // What cannot be read is nobody's answer: the judge is shown it.
    const refusal = `${String(error)}: ${text.slice(-SHOWN_CHARS)}`;
    return { ...told, complete: false, positions: undefined, usage: undefined, refusal };
  }
}

type Received = Pick<Told, "complete" | "positions" | "usage">;

function ofStream(heard: Heard, planned: Planned): Received {
  const { done, failed, finish, usage } = heard;
  return {
    complete: done && !failed,
    positions: positionsOf(heard, finish, planned.kind === "thinking"),
    usage,
  };
}

function ofWhole(text: string, whole: boolean): Received {
  if (!whole) return { complete: false, positions: 0, usage: undefined };
  const { choices, usage } = Whole.parse(JSON.parse(text));
  const [choice] = choices;
  const { content, reasoning_content: reasoning } = choice?.message ?? {};
  return {
    complete: true,
    positions: positionsOf(
      { content: content ?? "", reasoning: reasoning ?? "" },
      choice?.finish_reason,
      false,
    ),
    usage: { prompt: usage.prompt_tokens, completion: usage.completion_tokens },
  };
}

/** Words of thinking, the mark that ends it, words of the answer, and the end token: each is a position. */
function positionsOf(
  { content, reasoning }: Pick<Heard, "content" | "reasoning">,
  finish: string | undefined,
  thinks: boolean,
): number | undefined {
  const said = countWords(content);
  const thought = countWords(reasoning);
  if (said === undefined || thought === undefined) return undefined;
  const ended = finish === "stop";
  const mark = thinks && (said > 0 || ended) ? 1 : 0;
  return thought + mark + said + (ended ? 1 : 0);
}

/** A key with another checksum: no storage need be asked to know that it is none. */
function spoilt(apiKey: string): string {
  return `${apiKey.slice(0, -1)}${apiKey.endsWith("0") ? "1" : "0"}`;
}
