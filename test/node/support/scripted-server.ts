/**
 * A server with the wire shapes of vLLM, SGLang or llama-server and nothing behind them: answers what a test dictates and keeps what
 * it was asked. Its tokenizer knows the bundled model's vocabulary and gives a token per byte.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { bytesOfSpelling } from "../../../gpu-node/src/engines/llama/byte-alphabet.ts";
import { readTokenizer } from "../../../tools/train/bundled.ts";

const ORDINARY_TYPE = 1;

export type Ask = { readonly path: string; readonly body: Record<string, unknown>; left: Promise<void> };
/** The events of one stream, a string as it is; an error quotes what was asked, as those servers do. */
export type Answer = {
  readonly events: readonly unknown[];
  /** Sent behind them, once it is there. */
  readonly later?: Promise<readonly unknown[]>;
  readonly open?: boolean;
  /** The connection breaks behind the events. */
  readonly cut?: boolean;
  readonly status?: number;
  /** With it. */
  readonly retryAfterS?: number;
  /** No stream: this. */
  readonly json?: unknown;
};

export type ScriptedServer = {
  readonly url: URL;
  readonly asks: Ask[];
  answer: (ask: Ask) => Answer;
  metrics: string;
  healthy: boolean;
  /** Whether it binds answers to grammars: the one token it is asked to prove it with comes, or another. */
  binds: boolean;
  /** Whether it says how much was cached. */
  tellsCached: boolean;
  /** Whether it knows of token ids at all. */
  showsIds: boolean;
  /** Whether it keeps the prompts of different tags apart. */
  apart: boolean;
  /** Whether what it says of itself has the name it had in earlier releases. */
  oldNames: boolean;
  /** Of every /v1/models, and how many there were. */
  modelsStatus: number;
  models: number;
  /** Of every /tokenize. */
  tokenizeStatus: number;
  /** The texts it was asked to tokenise. */
  readonly tokenized: string[];
};

/** What the server's model folder looks like. */
export function modelFolder(): string {
  const { tokens, types } = readTokenizer();
  const folder = mkdtempSync(join(tmpdir(), "sluice-hf-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const ordinary = tokens.flatMap((text, id) => (types[id] === ORDINARY_TYPE ? [[text, id] as const] : []));
  const added = tokens.flatMap((content, id) =>
    types[id] === ORDINARY_TYPE ? [] : [{ id, content, special: types[id] === 3 }],
  );
  const write = (name: string, value: unknown): void =>
    writeFileSync(join(folder, name), JSON.stringify(value));
  write("tokenizer.json", {
    model: { type: "BPE", vocab: Object.fromEntries(ordinary) },
    added_tokens: added,
  });
  write("tokenizer_config.json", {
    bos_token: { content: tokens[0] },
    eos_token: tokens[1],
    add_bos_token: true,
  });
  write("generation_config.json", { eos_token_id: 1 });
  return folder;
}

/** A token per byte; special spellings become their token, as those servers do it. */
function tokenize(text: string): number[] {
  const { tokens, types } = readTokenizer();
  const special = tokens.flatMap((spelling, id) => (types[id] === ORDINARY_TYPE ? [] : [{ spelling, id }]));
  const byBytes = new Map<number, number>();
  for (const [id, spelling] of tokens.entries()) {
    const bytes = types[id] === ORDINARY_TYPE ? bytesOfSpelling(spelling) : [];
    const [byte] = bytes;
    if (bytes.length === 1 && byte !== undefined) byBytes.set(byte, id);
  }
  const ids: number[] = [];
  for (let at = 0; at < text.length;) {
    const mark = special.find(({ spelling }) => text.startsWith(spelling, at));
    if (mark !== undefined) {
      ids.push(mark.id);
      at += mark.spelling.length;
      continue;
    }
    const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
    for (const byte of Buffer.from(character)) ids.push(byBytes.get(byte) ?? 0);
    at += character.length;
  }
  return ids;
}

const INFO: Readonly<Record<string, unknown>> = {
  "/v1/models": { object: "list", data: [{ id: "served", object: "model", max_model_len: 2_048 }] },
  "/server_info": { served_model_name: "served", context_length: 2_048, max_running_requests: 16 },
  "/props": { total_slots: 1, default_generation_settings: { n_ctx: 2_048 } },
};

/** Of the prompt with which it is asked whether it keeps tags apart. */
const STRANGE_TOKENS = 512;

type Proof = (id: number | undefined, cached: number | undefined) => readonly unknown[];

/** The one token that is asked of every server when it becomes ready, and what such a server answers. */
function proofOf(path: string, body: Record<string, unknown>): Proof | undefined {
  const prompt = (body["prompt"] ?? body["input_ids"]) as readonly number[] | undefined;
  const [only = 0] = prompt ?? [];
  if (prompt?.length !== 1 && prompt?.length !== STRANGE_TOKENS) return undefined;
  if (path === "/v1/completions")
    return (id = only, cached) => [
      { choices: [{ token_ids: [id], finish_reason: "length" }] },
      {
        choices: [],
        usage: cached === undefined ? {} : { prompt_tokens_details: { cached_tokens: cached } },
      },
    ];
  if (path === "/generate")
    return (id = only, cached) => [
      {
        output_ids: [id],
        meta_info: { completion_tokens: 1, cached_tokens: cached, finish_reason: { type: "length" } },
      },
    ];
  return (id = only, cached) => [
    ...(cached === undefined
      ? []
      : [
          {
            tokens: [],
            content: "",
            stop: false,
            tokens_predicted: 0,
            prompt_progress: { cache: cached, processed: 1 },
          },
        ]),
    { tokens: [id], content: "", stop: false, tokens_predicted: 1 },
    { tokens: [], content: "", stop: true, tokens_predicted: 1, stop_type: "limit" },
  ];
}

export async function scriptedServer(): Promise<ScriptedServer> {
  const asks: Ask[] = [];
  const seen = new Set<string>();
  const server = createServer((request, response) => void respond(request, response));
  const scripted: ScriptedServer = {
    get url() {
      return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    },
    asks,
    answer: () => ({ events: [] }),
    metrics: "",
    healthy: true,
    binds: true,
    tellsCached: true,
    showsIds: true,
    apart: true,
    oldNames: false,
    modelsStatus: 200,
    models: 0,
    tokenizeStatus: 200,
    tokenized: [],
  };
  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "";
    const end = (status: number, body: string): void => void response.writeHead(status).end(body);
    if (path === "/health") return end(scripted.healthy ? 200 : 503, "");
    if (path === "/metrics") return end(200, scripted.metrics);
    if (path === "/v1/models") {
      scripted.models += 1;
      if (scripted.modelsStatus !== 200) return end(scripted.modelsStatus, "");
    }
    if (path === (scripted.oldNames ? "/server_info" : "/get_server_info")) return end(404, "");
    if (path === "/get_server_info") return end(200, JSON.stringify(INFO["/server_info"]));
    if (path in INFO) return end(200, JSON.stringify(INFO[path]));
    let text = "";
    for await (const piece of request.setEncoding("utf8")) text += String(piece);
    const body = JSON.parse(text) as Record<string, unknown>;
    const quoted = JSON.stringify({ error: { message: "refused" }, detail: [{ input: body }] });
    if (path === "/tokenize" && scripted.tokenizeStatus !== 200) return end(scripted.tokenizeStatus, quoted);
    if (path === "/tokenize") scripted.tokenized.push(String(body["prompt"] ?? body["content"]));
    if (path === "/tokenize")
      return end(200, JSON.stringify({ tokens: tokenize(String(body["prompt"] ?? body["content"])) }));
    const proof = proofOf(path, body);
    if (proof !== undefined) {
      const { binds, tellsCached, showsIds, apart } = scripted;
      const prompt = JSON.stringify(body["prompt"] ?? body["input_ids"]);
      const cached = !apart && seen.has(prompt) ? STRANGE_TOKENS : 0;
      seen.add(prompt);
      const events = proof(binds ? undefined : 9, tellsCached ? cached : undefined);
      if (!showsIds) return end(200, 'data: {"choices":[{"text":"~","finish_reason":"length"}]}\n\n');
      return end(200, events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
    }
    const left = new Promise<void>((resolve) => response.on("close", resolve));
    const ask = { path, body, left };
    asks.push(ask);
    const { events, later, open, status, cut, json, retryAfterS } = scripted.answer(ask);
    if (status !== undefined) {
      if (retryAfterS !== undefined) response.setHeader("retry-after", String(retryAfterS));
      return end(status, quoted);
    }
    if (json !== undefined) return end(200, JSON.stringify(json));
    response.writeHead(200, { "content-type": "text/event-stream" });
    const write = (event: unknown): void =>
      void response.write(`data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`);
    for (const event of events) write(event);
    for (const event of (await later) ?? []) write(event);
    if (cut === true) setImmediate(() => response.destroy());
    else if (open !== true) response.end("data: [DONE]\n\n");
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return scripted;
}
