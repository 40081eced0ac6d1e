/**
 * The `http` engine in front of a server that shows no token ids: text goes in, text comes out, and what is billed is what that
 * server says it counted (`told` in engine.ts). Its answers cannot be continued elsewhere; an answer that breaks off ends with an error and
 * is billed by what was said or, where nothing was, by one position an event. Tokens are stand-ins (stand-ins.ts). Whether such a
 * server honours tools and formats nobody can see from here: they are offered where the operator says so. Prompts' beginnings are kept apart by
 * the field the operator names, or by nothing: then the operator has said that this is right (config asks).
 */
import { EngineFault } from "../engine.ts";
import type { ChatPrompt, Engine, EngineEvent, EngineInfo, Lack, Said, Task, Token } from "../engine.ts";
import { toldWeights } from "../told.ts";
import { askChat, readChat, textFacts, type TextFacts } from "./openai.ts";
import { END, STAND_INS, TEXT, THINK, TOOLS } from "./stand-ins.ts";
import { notReady } from "./faults.ts";
import { Peer, type PeerOptions } from "./peer.ts";
import { isErrorEvent } from "./server.ts";
import { ToldAnswer } from "./told-answer.ts";

/** For the first look at a prompt: fewer bytes a token than most texts have would ask for larger holds than needed. */
const BYTES_PER_TOKEN = 4;
const TOKENS_PER_MESSAGE = 4;
const SLOTS_DEFAULT = 64;
const NO_BYTES = new Uint8Array();

export type Offer = "tools" | "json";

export type TextEngineOptions = PeerOptions & {
  /** The model's id, as calls name it. */
  readonly model: string;
  /** The server's own name of it; by default the first it names. */
  readonly servedAs?: string;
  /** What the operator says it honours beside messages and sampling. */
  readonly offers?: readonly Offer[];
  /** The field by which it keeps the prefixes of different tags apart. */
  readonly tagField?: string;
  /** Fields that every call gets there, below what this node sets: those that think, and the others. Undefined: nothing says it there. */
  readonly thinkingExtra?: object;
  readonly extra?: object;
  readonly slots?: number;
  readonly contextTokens?: number;
  readonly startWithinMs?: number;
};

export async function createTextEngine(options: TextEngineOptions): Promise<Engine> {
  const engine = new TextEngine(options);
  await engine.start();
  return engine;
}

class TextEngine implements Engine {
  readonly #options: TextEngineOptions;
  readonly #peer: Peer<TextFacts>;

  constructor(options: TextEngineOptions) {
    this.#options = options;
    this.#peer = new Peer(
      {
        name: "openai",
        // The one address that all of these servers have.
        healthPath: "/v1/models",
        tellsHealth: false,
        learn: async (wire) => {
          const facts = textFacts(JSON.parse(await wire.get("/v1/models")), options.servedAs);
          if (facts.contextTokens === undefined && options.contextTokens === undefined)
            throw new Error("it does not say how long its context is: give --context");
          return facts;
        },
        onReady: () => undefined,
      },
      options,
    );
  }

  start(): Promise<void> {
    return this.#peer.start(this.#options.startWithinMs);
  }

  get info(): EngineInfo {
    const { model, slots, offers = [], contextTokens = Number.POSITIVE_INFINITY } = this.#options;
    return {
      model,
      weights: toldWeights(this.#peer.model),
      contextTokens: Math.min(contextTokens, this.#peer.known?.contextTokens ?? contextTokens),
      slots: slots ?? SLOTS_DEFAULT,
      backend: "openai",
      features: ["penalties", ...offers],
      lacks: [
        "top_k",
        "min_p",
        ...(this.#options.thinkingExtra === undefined ? ["thinking_on"] : []),
        ...(this.#options.extra === undefined ? ["thinking_off"] : []),
      ],
      vocabularyTokens: STAND_INS,
      endTokens: [END],
      think: THINK,
      ...(offers.includes("tools") ? { tools: TOOLS } : {}),
      told: true,
    };
  }

  get ready(): boolean {
    return this.#peer.ready;
  }

  readonly wakeMs = (): number | undefined => this.#peer.wakeMs;

  /** As many stand-ins as the prompt may have tokens. */
  encodeChat({ messages, tools = [] }: ChatPrompt): Promise<readonly number[]> {
    const texts = [
      ...messages.flatMap(({ content, toolCalls = [] }) => [
        content,
        ...toolCalls.map((call) => call.arguments),
      ]),
      ...tools.flatMap(({ description, parameters }) => [description, parameters]),
    ];
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    const tokens = Math.ceil(bytes / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * messages.length;
    return Promise.resolve(Array.from({ length: tokens }, () => TEXT));
  }

  encodeText(text: string): Promise<readonly number[]> {
    const tokens = Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
    return Promise.resolve(Array.from({ length: tokens }, () => TEXT));
  }

  decode(tokens: readonly number[]): Promise<readonly Token[]> {
    return Promise.resolve(tokens.map((id) => ({ id, bytes: NO_BYTES })));
  }

  /** Only fields that all of these servers have are sent: what would be left out is refused. */
  readonly lackFor = ({ said, sampling }: Task): Lack | undefined => {
    const lack = (param: string, what: string): Lack => ({ param, what: `${what} with this engine` });
    if (said === undefined) return lack("prompt", "a prompt that is no chat");
    if (said.thinksBy !== undefined && this.#extraOf(said) === undefined)
      return lack(said.thinksBy, said.thinks ? "asking for thinking" : "asking for no thinking");
    if (sampling.topK) return lack("top_k", "a choice among the likeliest tokens alone");
    return sampling.minP ? lack("min_p", "a choice among the likelier tokens alone") : undefined;
  };

  async *generate(task: Task, signal: AbortSignal): AsyncGenerator<EngineEvent, void, void> {
    signal.throwIfAborted();
    if (!this.ready) throw notReady();
    yield* this.#peer.during(signal, (stop) => this.#answer(task, stop));
  }

  close(): Promise<void> {
    this.#peer.close();
    return Promise.resolve();
  }

  #extraOf({ thinks }: Said): object | undefined {
    return thinks ? this.#options.thinkingExtra : this.#options.extra;
  }

  async *#answer(task: Task, stop: AbortSignal): AsyncGenerator<EngineEvent, void, void> {
    const { said, prompt, delivered, outputTokensMax, sampling } = task;
    if (said === undefined || delivered.length > 0)
      throw new EngineFault("unsupported", "Here chats are answered, from their beginning.");
    const { tagField } = this.#options;
    const { path, body } = askChat(this.#peer.model, said, outputTokensMax, {
      sampling,
      extra: this.#extraOf(said) ?? {},
      apart: tagField === undefined ? {} : { [tagField]: `t${task.tag}` },
    });
    const answer = new ToldAnswer(prompt.length, outputTokensMax);
    for await (const event of this.#peer.wire.events(path, body, stop)) {
      if (isErrorEvent(event)) throw new EngineFault("failed", "The server gave this task up.");
      yield* answer.read(readChat(event));
      if (answer.over) break;
    }
    yield* answer.end();
  }
}
