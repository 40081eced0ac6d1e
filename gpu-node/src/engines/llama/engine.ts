/**
 * The `llama` engine: any GGUF file, run by llama.cpp in a child process. This half lives in the node's process: it
 * checks the file before llama.cpp sees it, hands tasks over, turns ids into bytes, and fails every running task at
 * once when the child dies. It never blocks and never touches native code, so no model can take the node down.
 */
import { availableParallelism } from "node:os";
import { readGgufFile } from "../../weights/gguf-header.ts";
import { checkWeights } from "../../weights/check-weights.ts";
import { digestWeights } from "../../weights/digest.ts";
import {
  type ChatPrompt,
  type Engine,
  type EngineEvent,
  EngineFault,
  type EngineInfo,
  type Task,
  type Token,
} from "../engine.ts";
import { EventQueue } from "./event-queue.ts";
import { mappedBytes } from "./free-memory.ts";
import { infoOf } from "./info.ts";
import type { EncodeMessage, FromChild, Gpu, ReadyMessage, TaskEvent } from "./messages.ts";
import { runMessage } from "./run-message.ts";
import type { SampledLogprobs } from "./sampler.ts";
import { Supervisor } from "./supervisor.ts";
import { type Vocabulary, readVocabulary, vocabularySize } from "./vocabulary.ts";
import { workersFor } from "./workers.ts";

const SLOTS_DEFAULT = 8;

export type LlamaEngineOptions = {
  /** The model's id, as calls name it. */
  readonly model: string;
  /** A GGUF file; of a sharded model the first shard. */
  readonly weightsPath: string;
  readonly slots?: number;
  /** Per slot; memory is slots times this. Default: what the model was trained for, up to 8,192. */
  readonly contextTokens?: number;
  /** "auto": the best backend installed. */
  readonly gpu?: Gpu;
  /** Default: measured. All cores may be many times slower than one, not faster. */
  readonly threads?: number;
  /** Where digests of large files are remembered. */
  readonly cacheDir?: string;
  /** Whether it makes embeddings, too: a context more. */
  readonly embeddings?: boolean;
  /** Memory that looks free and is not, when a process starts; undefined: nobody looks whether it fits. */
  readonly occupiedBytes?: () => number;
  readonly log?: (line: string) => void;
};

export type LlamaEngine = Engine & {
  /** Of the child; undefined while there is none. */
  readonly pid: number | undefined;
};

/** Resolves when the engine is ready; throws EngineFault("bad_model") with what is wrong and what to do. */
export async function createLlamaEngine(options: LlamaEngineOptions): Promise<LlamaEngine> {
  checkWeights(options.weightsPath);
  const digest = await digestWeights(options.weightsPath, options.cacheDir);
  const engine = new ChildEngine(options, digest);
  await engine.start();
  return engine;
}

type Asked = { resolve(tokens: readonly number[]): void; reject(error: unknown): void };
type Embedding = { resolve(vector: Float32Array): void; reject(error: unknown): void };

class ChildEngine implements LlamaEngine {
  readonly #options: LlamaEngineOptions;
  readonly #digest: string;
  readonly #supervisor: Supervisor;
  readonly #tasks = new Map<number, EventQueue>();
  readonly #asked = new Map<number, Asked>();
  readonly #embeddings = new Map<number, Embedding>();
  #vocabulary: Vocabulary | undefined;
  #pieces: readonly Uint8Array[] | undefined;
  #info: EngineInfo | undefined;
  #lastId = 0;

  constructor(options: LlamaEngineOptions, digest: string) {
    this.#options = options;
    this.#digest = digest;
    const { weightsPath, contextTokens } = options;
    const log = options.log ?? (() => undefined);
    this.#supervisor = new Supervisor(
      () => ({
        kind: "load",
        weightsPath,
        gpu: options.gpu ?? "auto",
        slots: options.slots ?? SLOTS_DEFAULT,
        embeddings: options.embeddings ?? false,
        ...(options.threads === undefined ? {} : { threads: options.threads }),
        ...(contextTokens === undefined ? {} : { contextTokens }),
        ...(options.occupiedBytes === undefined ? {} : { occupiedBytes: options.occupiedBytes() }),
      }),
      workersFor({
        slots: options.slots ?? SLOTS_DEFAULT,
        vocabularyTokens: vocabularySize(readGgufFile(weightsPath)),
        embeddings: options.embeddings ?? false,
        cores: availableParallelism(),
      }),
      {
        ready: (message) => this.#becomeReady(message),
        message: (message) => this.#receive(message),
        died: (fault) => this.#failAll(fault),
        log,
        mayRestart: async () => {
          const now = await digestWeights(weightsPath, options.cacheDir);
          return now === digest
            ? undefined
            : "the weights on disk have changed: reload (SIGHUP), or start the node anew, to serve them";
        },
      },
    );
  }

  async start(): Promise<void> {
    await this.#supervisor.start();
  }

  get info(): EngineInfo {
    if (this.#info === undefined) throw new EngineFault("engine_died", "The engine has not been ready yet.");
    return this.#info;
  }

  get ready(): boolean {
    return this.#supervisor.ready;
  }

  get pid(): number | undefined {
    return this.#supervisor.pid;
  }

  wakeMs(): number | undefined {
    return this.#supervisor.wakeMs;
  }

  readonly mappedBytes = (): number => mappedBytes(this.pid);

  encodeChat(prompt: ChatPrompt, tokensMax?: number): Promise<readonly number[]> {
    return this.#encode(prompt, tokensMax);
  }

  encodeText(text: string, tokensMax?: number): Promise<readonly number[]> {
    return this.#encode({ text }, tokensMax);
  }

  decode(tokens: readonly number[]): Promise<readonly Token[]> {
    return Promise.resolve(tokens.map((id) => this.#token(id)));
  }

  async *generate(task: Task, signal: AbortSignal): AsyncGenerator<EngineEvent, void, void> {
    signal.throwIfAborted();
    if (!this.ready) throw notReady();
    const id = this.#nextId();
    const events = new EventQueue();
    const abort = (): void => events.fail(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    this.#tasks.set(id, events);
    this.#supervisor.send(runMessage(id, task));
    let ended = false;
    try {
      while (!ended) {
        const event = await events.next();
        ended = event.kind === "end";
        yield event;
      }
    } finally {
      signal.removeEventListener("abort", abort);
      this.#tasks.delete(id);
      if (!ended) this.#supervisor.send({ kind: "stop", task: id });
    }
  }

  async *embed(
    inputs: readonly (readonly number[])[],
    signal: AbortSignal,
  ): AsyncGenerator<Float32Array, void, void> {
    for (const tokens of inputs) {
      signal.throwIfAborted();
      yield await this.#embedOne(tokens, signal);
    }
  }

  async close(): Promise<void> {
    await this.#supervisor.close();
    this.#failAll(new EngineFault("engine_died", "The engine was closed."));
  }

  #encode(what: EncodeMessage["what"], tokensMax: number | undefined): Promise<readonly number[]> {
    return new Promise((resolve, reject) => {
      if (!this.ready) {
        reject(notReady());
        return;
      }
      const ask = this.#nextId();
      this.#asked.set(ask, { resolve, reject });
      this.#supervisor.send({ kind: "encode", ask, what, ...(tokensMax === undefined ? {} : { tokensMax }) });
    });
  }

  /** Settles when the engine's process is done with it, one way or another: until then the slot is not free. */
  async #embedOne(tokens: readonly number[], signal: AbortSignal): Promise<Float32Array> {
    if (!this.ready) throw notReady();
    const ask = this.#nextId();
    const stop = (): void => this.#supervisor.send({ kind: "stop_embedding", ask });
    signal.addEventListener("abort", stop, { once: true });
    try {
      return await new Promise<Float32Array>((resolve, reject) => {
        this.#embeddings.set(ask, { resolve, reject });
        this.#supervisor.send({ kind: "embed", ask, tokens: [...tokens] });
      });
    } finally {
      signal.removeEventListener("abort", stop);
      this.#embeddings.delete(ask);
    }
  }

  #becomeReady(message: ReadyMessage): void {
    const { endTokens, controlTokens } = message;
    // Equal weights came back: what is known of them stays.
    const vocabulary = (this.#vocabulary ??= readVocabulary(readGgufFile(this.#options.weightsPath), [
      ...endTokens,
      ...controlTokens,
    ]));
    this.#pieces = message.pieces?.map((piece) => Buffer.from(piece, "base64"));
    const { model, slots = SLOTS_DEFAULT } = this.#options;
    this.#info = infoOf(message, vocabulary, { model, weights: this.#digest, slots });
  }

  #receive(message: FromChild): void {
    switch (message.kind) {
      case "events":
        for (const event of message.events) this.#deliver(event);
        return;
      case "encoded":
        this.#asked.get(message.ask)?.resolve(message.tokens);
        this.#asked.delete(message.ask);
        return;
      case "embedded":
        if (message.vector === null)
          this.#embeddings.get(message.ask)?.reject(new Error("the embedding was stopped"));
        else this.#embeddings.get(message.ask)?.resolve(floatsOf(message.vector));
        return;
      case "unencodable":
        this.#asked.get(message.ask)?.reject(new EngineFault("unsupported", message.reason));
        this.#asked.delete(message.ask);
        return;
      case "log":
        this.#options.log?.(message.line);
        return;
      case "ready":
      case "bad":
        return;
    }
  }

  #deliver(event: TaskEvent): void {
    // A task whose caller has gone is still reported on until the child has heard of it.
    const queue = this.#tasks.get(event.task);
    if (queue === undefined) return;
    switch (event.kind) {
      case "started":
        queue.push({ kind: "started", cached: event.cached });
        return;
      case "evaluated":
        queue.push({ kind: "evaluated", promptTokens: event.promptTokens });
        return;
      case "tokens":
        queue.push({
          kind: "tokens",
          tokens: event.ids.map((id, at) => this.#withLogprobs(this.#token(id), event.logprobs?.[at])),
        });
        return;
      case "end":
        queue.push({ kind: "end", why: event.why });
        return;
      case "refused":
        queue.fail(new EngineFault("unsupported", event.reason));
        return;
    }
  }

  #failAll(fault: EngineFault): void {
    for (const queue of this.#tasks.values()) queue.fail(fault);
    for (const asked of [...this.#asked.values(), ...this.#embeddings.values()]) asked.reject(fault);
    this.#tasks.clear();
    this.#embeddings.clear();
    this.#asked.clear();
  }

  #token(id: number): Token {
    const bytes = this.#vocabulary?.bytesOf(id) ?? this.#pieces?.[id] ?? new Uint8Array();
    return { id, bytes };
  }

  #withLogprobs(token: Token, logprobs: SampledLogprobs | undefined): Token {
    if (logprobs === undefined) return token;
    const top = logprobs.top.map(([id, logprob]) => [this.#token(id), logprob] as const);
    return { ...token, logprobs: { own: logprobs.own, top } };
  }

  #nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }
}

function floatsOf(base64: string): Float32Array {
  const bytes = Buffer.from(base64, "base64");
  // A copy of its own: a buffer of the pool may begin anywhere.
  return new Float32Array(new Uint8Array(bytes).buffer);
}

function notReady(): EngineFault {
  return new EngineFault("engine_died", "The engine is starting.");
}
