/**
 * The `http` engine: vLLM, SGLang or llama-server do the computing, somewhere this node can reach; what the node owes
 * its edge (exact positions, isolation, continuation, one dialect) is made here from token ids, so that none of it
 * depends on how those servers print an answer. The server's quirks are in its own small file.
 *
 * A lost connection is the death of its task; when the server cannot be reached, or answers that it is not itself, the
 * engine is not ready until it is healthy and still serves the same model. An answer that only makes no sense, or says
 * that it was given up, fails its own task and no other.
 */
import { setTimeout as delay } from "node:timers/promises";
import { ZodError } from "zod";
import type { ServerLoad } from "../../load/engine-load.ts";
import { EngineFault } from "../engine.ts";
import type { ChatPrompt, Engine, EngineEvent, EngineInfo, Task, Token } from "../engine.ts";
import { type Picked, pickTemplate } from "../llama/pick-template.ts";
import { content, spellingsPattern } from "../llama/segments.ts";
import { toolMarks } from "../llama/tool-template.ts";
import { chooseSlot } from "../slots.ts";
import { RemoteEncoder } from "./encode.ts";
import { llamaServer } from "./llama-server.ts";
import { readServerLoad } from "./metrics.ts";
import { isErrorEvent, type Part, type Server, type ServerFacts } from "./server.ts";
import { sglang } from "./sglang.ts";
import { TokenReader } from "./token-reader.ts";
import { vllm } from "./vllm.ts";
import { UnreadableAnswer, Wire, WireError } from "./wire.ts";
import { readWords, type Words } from "./words.ts";

const SERVERS = { vllm, sglang, "llama-server": llamaServer } as const;
export type ServerName = keyof typeof SERVERS;

const FEATURES = ["resume", "penalties", "logit_bias", "n", "prefix", "completions", "tokenize"] as const;
const SLOTS_DEFAULT = 64;
const HEALTH_POLL_MS = 250;
/** Loading hundreds of gigabytes takes its time. */
const START_WITHIN_MS = 60 * 60_000;

export type HttpEngineOptions = {
  /** The model's id, as calls name it. */
  readonly model: string;
  readonly server: ServerName;
  readonly url: URL;
  /** What the server loads: a GGUF file, or a folder with a tokenizer.json. */
  readonly weightsPath: string;
  readonly key?: string;
  /** Requests at once; by default what the server says, else 64. */
  readonly slots?: number;
  readonly contextTokens?: number;
  /** Whether prefixes may be reused where the server can only be trusted to keep tags apart by its slots. */
  readonly reuseInSlots?: boolean;
  readonly startWithinMs?: number;
  readonly log?: (line: string) => void;
};

/** `tag` is whose prompt the server holds there, as far as that is known; "" is nobody's. */
type Slot = { busy: boolean; tag: string; tokens: readonly number[]; usedAt: number };

type Place = {
  readonly slot?: number;
  readonly reuse: boolean;
  /** The server has really started the task here. */
  began(): void;
  leave(): void;
};

export async function createHttpEngine(options: HttpEngineOptions): Promise<Engine> {
  const words = await readWords(options.weightsPath);
  const engine = new HttpEngine(options, words);
  await engine.start();
  return engine;
}

class HttpEngine implements Engine {
  readonly #options: HttpEngineOptions;
  readonly #server: Server;
  readonly #words: Words;
  readonly #wire: Wire;
  readonly #encoder: RemoteEncoder;
  readonly #picked: Picked;
  readonly #closing = new AbortController();
  readonly #running = new Set<AbortController>();
  #facts: ServerFacts | undefined;
  #slots: Slot[] = [];
  #ready = false;
  #clock = 0;

  constructor(options: HttpEngineOptions, words: Words) {
    this.#options = options;
    this.#server = SERVERS[options.server];
    this.#words = words;
    this.#wire = new Wire(options.url, options.key);
    this.#picked = pickTemplate(words.vocabulary);
    const { special, spellings, addBos, bos } = words.vocabulary;
    this.#encoder = new RemoteEncoder((text, isSpecial) => this.#tokenize(text, isSpecial), {
      special,
      spellings: spellingsPattern(spellings.keys()),
      bos: addBos ? bos : undefined,
    });
  }

  async start(): Promise<void> {
    const untilMs = performance.now() + (this.#options.startWithinMs ?? START_WITHIN_MS);
    const why = await this.#becomeReady(untilMs);
    if (why === undefined) return;
    this.#wire.close();
    throw new EngineFault(
      "bad_model",
      `${this.#options.url.href} cannot be used as ${this.#server.name}: ${why}`,
    );
  }

  get info(): EngineInfo {
    const { contextTokens, slots } = this.#facts ?? {};
    const { vocabulary, endTokens, digest } = this.#words;
    const { think } = vocabulary;
    const format = this.#picked.tools;
    const tools = format === undefined ? undefined : toolMarks(format, vocabulary.spellings);
    return {
      model: this.#options.model,
      weights: digest,
      contextTokens: Math.min(contextTokens ?? 1, this.#options.contextTokens ?? Number.POSITIVE_INFINITY),
      // Beyond its slots the server would choose one itself, and nobody would know whose prompt is where.
      slots: Math.min(
        this.#options.slots ?? slots ?? SLOTS_DEFAULT,
        this.#options.reuseInSlots === true ? (slots ?? SLOTS_DEFAULT) : Number.POSITIVE_INFINITY,
      ),
      backend: this.#server.name,
      // Not "seed": these servers' dice are their own, and another node would throw others.
      features: [
        ...FEATURES,
        ...(think === undefined ? [] : ["thinking"]),
        ...(tools === undefined ? [] : ["tools"]),
      ],
      vocabularyTokens: vocabulary.size,
      endTokens,
      ...(think === undefined ? {} : { think }),
      ...(tools === undefined ? {} : { tools }),
    };
  }

  get ready(): boolean {
    return this.#ready;
  }

  async encodeChat(prompt: ChatPrompt, tokensMax?: number): Promise<readonly number[]> {
    if (!this.#ready) throw notReady();
    return this.#encoder.encode(this.#picked.template(prompt), tokensMax);
  }

  async encodeText(text: string, tokensMax?: number): Promise<readonly number[]> {
    if (!this.#ready) throw notReady();
    return this.#encoder.encode([content(text)], tokensMax);
  }

  decode(tokens: readonly number[]): Promise<readonly Token[]> {
    return Promise.resolve(tokens.map((id) => this.#token(id)));
  }

  /** What the server says of its own load. Throws where it does not say it. */
  readonly serverLoad = async (): Promise<ServerLoad> =>
    readServerLoad(await this.#wire.get("/metrics"), this.#server.metrics);

  async *generate(task: Task, signal: AbortSignal): AsyncGenerator<EngineEvent, void, void> {
    signal.throwIfAborted();
    if (!this.#ready) throw notReady();
    this.#refuse(task);
    const { contextTokens } = this.info;
    const used = task.prompt.length + task.delivered.length;
    const outputTokensMax = Math.min(task.outputTokensMax, contextTokens - used);
    if (outputTokensMax <= 0) {
      yield { kind: "started", cached: 0 };
      yield { kind: "end", why: "length" };
      return;
    }
    const own = new AbortController();
    const stop = AbortSignal.any([signal, own.signal, this.#closing.signal]);
    this.#running.add(own);
    const place = this.#place(task);
    try {
      yield* this.#stream({ ...task, outputTokensMax }, place, stop);
    } catch (error) {
      signal.throwIfAborted();
      // Lost with the others, which was mourned already: the server may be back since.
      stop.throwIfAborted();
      throw this.#explain(error);
    } finally {
      this.#running.delete(own);
      // A caller that simply stops reading has left, too.
      own.abort();
      place.leave();
    }
  }

  async close(): Promise<void> {
    this.#ready = false;
    this.#closing.abort(new EngineFault("engine_died", "The engine was closed."));
    this.#wire.close();
    return Promise.resolve();
  }

  async *#stream(task: Task, place: Place, stop: AbortSignal): AsyncGenerator<EngineEvent, void, void> {
    const asked = this.#server.generate(this.#facts?.model ?? "", task, place);
    const read = this.#server.reader();
    const tokens = new TokenReader(this.#words, task.outputTokensMax);
    const promptTokens = task.prompt.length;
    let started = false;
    for await (const event of this.#wire.events(asked.path, asked.body, stop)) {
      const part: Part = isErrorEvent(event) ? { gaveUp: true } : read(event);
      if (part.gaveUp === true) throw new EngineFault("engine_died", "The server gave this task up.");
      const fresh = tokens.take(part);
      if (!started && (part.cached !== undefined || fresh.length > 0)) {
        started = true;
        place.began();
        yield { kind: "started", cached: Math.min(part.cached ?? 0, promptTokens) };
      }
      if (part.evaluated !== undefined)
        yield { kind: "evaluated", promptTokens: Math.min(part.evaluated, promptTokens) };
      if (fresh.length > 0) {
        if (tokens.count === fresh.length) yield { kind: "evaluated", promptTokens };
        yield { kind: "tokens", tokens: fresh.map((id) => this.#token(id)) };
      }
      if (part.end === undefined && !tokens.over) continue;
      if (!started) yield { kind: "started", cached: 0 };
      yield { kind: "end", why: tokens.stopped ? "stop" : "length" };
      return;
    }
    throw new Error("its answer ended without saying how");
  }

  #refuse(task: Task): void {
    const { contextTokens } = this.info;
    if (task.prompt.length === 0 || task.prompt.length >= contextTokens)
      throw new EngineFault(
        "unsupported",
        `The prompt has ${task.prompt.length} tokens; the context holds ${contextTokens}.`,
      );
    if (task.grammar !== undefined || task.logprobs !== undefined || task.thinkingTokensMax !== undefined)
      throw new EngineFault("unsupported", `This is not done through ${this.#server.name} yet.`);
  }

  /** Where isolation is by slots, a slot; it is held until the task leaves. */
  #place(task: Task): Place {
    if (this.#server.isolation === "salt") return anywhere(true);
    if (this.#options.reuseInSlots !== true) return anywhere(false);
    const tokens = [...task.prompt, ...task.delivered];
    const choice = chooseSlot(this.#slots, task.tag, tokens);
    const slot = choice === undefined ? undefined : this.#slots[choice.slot];
    if (choice === undefined || slot === undefined) return anywhere(false);
    const reuse = slot.tag !== "" && slot.tag === task.tag;
    slot.busy = true;
    // A task that leaves before it began has left another one's prompt there.
    slot.tag = "";
    slot.tokens = tokens;
    return {
      slot: choice.slot,
      reuse,
      began: () => {
        slot.tag = task.tag;
      },
      leave: () => {
        slot.busy = false;
        slot.usedAt = this.#clock += 1;
      },
    };
  }

  async #tokenize(text: string, special: boolean): Promise<readonly number[]> {
    try {
      const { path, body } = this.#server.tokenize(this.#facts?.model ?? "", text, special);
      return this.#server.tokensIn(await this.#wire.post(path, body));
    } catch (error) {
      throw this.#explain(error);
    }
  }

  #token(id: number): Token {
    return { id, bytes: this.#words.vocabulary.bytesOf(id) ?? new Uint8Array() };
  }

  /** Any failure of the connection is taken for the server's death until it proves to be alive. */
  #explain(error: unknown): EngineFault {
    if (error instanceof EngineFault) return error;
    const { name } = this.#server;
    // No cause and no word of the answer: it may hold what people wrote.
    if (error instanceof ZodError || error instanceof UnreadableAnswer) {
      const where =
        error instanceof ZodError ? error.issues.map(({ path }) => path.join(".")) : [error.message];
      this.#options.log?.(`${name} gave an answer that cannot be read: ${where.join(", ")}`);
      return new EngineFault("engine_died", `${name} gave an answer that cannot be read.`);
    }
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof WireError && error.status >= 400 && error.status < 500) {
      this.#options.log?.(`${name} refused a task: ${reason}`);
      return new EngineFault(
        "unsupported",
        `The server that runs the model refuses this (status ${error.status}).`,
      );
    }
    if (this.#ready) this.#mourn(reason);
    return new EngineFault("engine_died", `${name}: ${reason}`, { cause: error });
  }

  #mourn(reason: string): void {
    this.#ready = false;
    this.#options.log?.(`${this.#server.name} is lost: ${reason}`);
    const lost = new EngineFault("engine_died", `${this.#server.name}: ${reason}`);
    for (const running of this.#running) running.abort(lost);
    void this.#comeBack();
  }

  async #comeBack(): Promise<void> {
    const why = await this.#becomeReady(Number.POSITIVE_INFINITY);
    if (why === undefined) this.#options.log?.(`${this.#server.name} is back`);
  }

  /** Polls until the server answers; resolves with the reason where it did not in time. */
  async #becomeReady(untilMs: number): Promise<string | undefined> {
    let reason = "nobody has asked it";
    let told = "";
    while (!this.#closing.signal.aborted) {
      try {
        await this.#wire.get("/health");
        const answers = await Promise.all(this.#server.factPaths.map((path) => this.#wire.get(path)));
        const facts = this.#server.facts(answers.map((text): unknown => JSON.parse(text)));
        if (this.#facts !== undefined && facts.model !== this.#facts.model)
          throw new Error(`it serves ${facts.model} now, and not ${this.#facts.model}`);
        this.#facts = facts;
        this.#slots = Array.from({ length: facts.slots ?? 0 }, () => ({
          busy: false,
          tag: "",
          tokens: [],
          usedAt: 0,
        }));
        this.#ready = true;
        return undefined;
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
        if (reason !== told) this.#options.log?.(`waiting for ${this.#server.name}: ${reason}`);
        told = reason;
      }
      if (performance.now() >= untilMs) return reason;
      await delay(HEALTH_POLL_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
    return reason;
  }
}

function anywhere(reuse: boolean): Place {
  return { reuse, began: () => undefined, leave: () => undefined };
}

function notReady(): EngineFault {
  return new EngineFault("engine_died", "The server in front of which this node stands does not answer.");
}
