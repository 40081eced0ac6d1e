/**
 * The `http` engine: vLLM, SGLang or llama-server do the computing, somewhere this node can reach; what the node owes
 * its edge (exact positions, isolation, continuation, one dialect) is made here from token ids, so that none of it
 * depends on how those servers print an answer. Each server's quirks are in its own small file; whether it is there is
 * peer.ts, what is asked of it legs.ts, what comes of it answer.ts.
 */
import { openingOf } from "../../grammar/tools.ts";
import type { ServerLoad } from "../../load/engine-load.ts";
import { EngineFault } from "../engine.ts";
import type { ChatPrompt, Engine, EngineEvent, EngineInfo, Lack, Task, Token } from "../engine.ts";
import { type Picked, pickTemplate } from "../llama/pick-template.ts";
import { content } from "../llama/segments.ts";
import { toolMarks } from "../llama/tool-template.ts";
import { Answer } from "./answer.ts";
import { askFacts } from "./facts.ts";
import { encoderOf, type RemoteEncoder } from "./encode.ts";
import { notReady } from "./faults.ts";
import { llamaServer } from "./llama-server.ts";
import { readServerLoad } from "./metrics.ts";
import { Peer, type PeerOptions } from "./peer.ts";
import { anywhere, type Place, Places } from "./places.ts";
import { prove, type Proven } from "./proof.ts";
import type { Server, ServerFacts } from "./server.ts";
import { sglang } from "./sglang.ts";
import { vllm } from "./vllm.ts";
import type { Wire } from "./wire.ts";
import { readWords, tokensOf, type Words } from "./words.ts";

export const SERVERS = { vllm, sglang, "llama-server": llamaServer } as const;
export type ServerName = keyof typeof SERVERS;

const FEATURES = [
  "resume",
  "penalties",
  "logit_bias",
  "logprobs",
  "n",
  "prefix",
  "completions",
  "tokenize",
] as const;
export const SLOTS_DEFAULT = 64;

export type HttpEngineOptions = PeerOptions & {
  /** The model's id, as calls name it. */
  readonly model: string;
  readonly server: ServerName;
  /** What the server loads: a GGUF file, or a folder with a tokenizer.json. */
  readonly weightsPath: string;
  /** Requests at once; by default what the server says, else 64. */
  readonly slots?: number;
  readonly contextTokens?: number;
  /** Whether prefixes may be reused where the server can only be trusted to keep tags apart by its slots. */
  readonly reuseInSlots?: boolean;
  readonly startWithinMs?: number;
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
  readonly #peer: Peer<ServerFacts & { readonly proven: Proven }>;
  readonly #places = new Places();
  readonly #encoder: RemoteEncoder;
  readonly #picked: Picked;

  constructor(options: HttpEngineOptions, words: Words) {
    this.#options = options;
    this.#server = SERVERS[options.server];
    this.#words = words;
    const learn = (wire: Wire): Promise<ServerFacts & { readonly proven: Proven }> => this.#learn(wire);
    const onReady = ({ slots }: ServerFacts): void => this.#places.reset(slots ?? 0);
    this.#peer = new Peer(
      { name: this.#server.name, healthPath: "/health", tellsHealth: true, learn, onReady },
      options,
    );
    this.#picked = pickTemplate(words.vocabulary);
    this.#encoder = encoderOf(words, this.#server, this.#peer);
  }

  start(): Promise<void> {
    return this.#peer.start(this.#options.startWithinMs);
  }

  get info(): EngineInfo {
    const { contextTokens, slots } = this.#peer.known ?? {};
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
      features: [...FEATURES, ...this.#provenFeatures(), ...(tools === undefined ? [] : ["tools"])],
      vocabularyTokens: vocabulary.size,
      endTokens,
      ...(think === undefined ? {} : { think }),
      ...(tools === undefined ? {} : { tools }),
    };
  }

  get ready(): boolean {
    return this.#peer.ready;
  }

  readonly wakeMs = (): number | undefined => this.#peer.wakeMs;

  async encodeChat(prompt: ChatPrompt, tokensMax?: number): Promise<readonly number[]> {
    if (!this.ready) throw notReady();
    return this.#encoder.encode(this.#picked.template(prompt), tokensMax);
  }

  async encodeText(text: string, tokensMax?: number): Promise<readonly number[]> {
    if (!this.ready) throw notReady();
    return this.#encoder.encode([content(text)], tokensMax);
  }

  decode(tokens: readonly number[]): Promise<readonly Token[]> {
    return Promise.resolve(tokensOf(this.#words, tokens));
  }

  readonly lackFor = (task: Task): Lack | undefined => {
    const why = task.logprobs === undefined ? undefined : this.#server.notRaw?.(task);
    if (why === undefined) return undefined;
    return { param: "logprobs", what: `giving the model's own probabilities ${why}` };
  };

  /** What the server says of its own load. Throws where it does not say it. */
  readonly serverLoad = async (): Promise<ServerLoad> =>
    readServerLoad(await this.#metrics(), this.#server.metrics);

  async *generate(task: Task, signal: AbortSignal): AsyncGenerator<EngineEvent, void, void> {
    signal.throwIfAborted();
    if (!this.ready) throw notReady();
    const { contextTokens } = this.info;
    if (task.prompt.length === 0 || task.prompt.length >= contextTokens)
      throw new EngineFault(
        "unsupported",
        `The prompt has ${task.prompt.length} tokens; the context holds ${contextTokens}.`,
      );
    if (task.grammar !== undefined && this.#peer.known?.proven.grammar !== true)
      throw new EngineFault("unsupported", `${this.#server.name} does not bind answers to a form.`);
    const used = task.prompt.length + task.delivered.length;
    const outputTokensMax = Math.min(task.outputTokensMax, contextTokens - used);
    if (outputTokensMax <= 0) {
      yield { kind: "started", cached: 0 };
      yield { kind: "end", why: "length" };
      return;
    }
    const place = this.#place(task);
    const { wire, model } = this.#peer;
    const { tools: marks } = this.info;
    const sectionOpen = marks === undefined ? undefined : openingOf(marks).token;
    const tools = { wire, model, server: this.#server, words: this.#words, sectionOpen };
    try {
      yield* this.#peer.during(signal, (stop) =>
        new Answer(tools, { ...task, outputTokensMax }, place, stop).events(),
      );
    } finally {
      place.leave();
    }
  }

  async close(): Promise<void> {
    this.#peer.close();
    return Promise.resolve();
  }

  /** Not "seed": these servers' dice are their own, and another node, or a later position, would throw others. */
  #provenFeatures(): readonly string[] {
    const { proven, seeded } = this.#peer.known ?? {};
    return [
      ...(this.#words.vocabulary.think === undefined ? [] : ["thinking", "thinking_budget"]),
      ...(proven?.grammar === true ? ["json"] : []),
      ...(proven?.cached === true ? ["cached_tokens"] : []),
      ...(seeded === true ? ["seeded"] : []),
    ];
  }

  async #learn(wire: Wire): Promise<ServerFacts & { readonly proven: Proven }> {
    const facts = await askFacts(wire, this.#server);
    const proven = await prove(wire, this.#server, facts, this.#words);
    const { name, isolation, hints } = this.#server;
    const say = (what: string, hint: string): void => this.#options.log?.(`${name} ${what} (${hint})`);
    if (!proven.grammar) say("does not bind answers by tokens: formats are not offered", hints.grammar);
    if (!proven.cached)
      say("does not say what was cached: all of a prompt is billed as uncached", hints.cached);
    if (isolation === "salt" && proven.apart === undefined)
      say("does not let it be seen whether it keeps users' prompts apart", hints.cached);
    return { ...facts, proven };
  }

  async #metrics(): Promise<string> {
    try {
      return await this.#peer.wire.get("/metrics");
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`the server gives no metrics (${this.#server.hints.metrics}): ${why}`, { cause });
    }
  }

  #place(task: Task): Place {
    if (this.#server.isolation === "salt") return anywhere(task.tag);
    return this.#options.reuseInSlots === true ? this.#places.take(task) : anywhere(undefined);
  }
}
