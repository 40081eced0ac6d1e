/**
 * The `http` engine for a server that was started to make embeddings, which then answers nothing (`llama-server --embeddings`,
 * vLLM's pooling runner, SGLang's `--is-embedding`). It is given token ids, so that what is billed is what was counted here;
 * how the vectors are pooled is that server's affair. That it makes them is proved with one token before anybody is served.
 */
import { z } from "zod";
import { content } from "../llama/segments.ts";
import { type Engine, type EngineEvent, EngineFault, type EngineInfo, type Token } from "../engine.ts";
import { encoderOf, type RemoteEncoder } from "./encode.ts";
import { type HttpEngineOptions, SERVERS, SLOTS_DEFAULT } from "./engine.ts";
import { askFacts } from "./facts.ts";
import { notReady } from "./faults.ts";
import { Peer } from "./peer.ts";
import type { Server, ServerFacts } from "./server.ts";
import { UnreadableAnswer, type Wire } from "./wire.ts";
import { readWords, tokensOf, type Words } from "./words.ts";

const PATH = "/v1/embeddings";
/** Inputs in one request: the server computes them together, and an answer stays small. */
const INPUTS_PER_REQUEST = 16;
/** The first vector of all: a server may compile for it. */
const PROOF_MS = 60_000;

const Answer = z.object({
  data: z.array(z.object({ index: z.int().min(0), embedding: z.array(z.number()).min(1) })),
});

type Facts = ServerFacts & { readonly dimensions: number };

export async function createEmbeddingEngine(options: HttpEngineOptions): Promise<Engine> {
  const engine = new EmbeddingEngine(options, await readWords(options.weightsPath));
  await engine.start();
  return engine;
}

class EmbeddingEngine implements Engine {
  readonly #options: HttpEngineOptions;
  readonly #server: Server;
  readonly #words: Words;
  readonly #peer: Peer<Facts>;
  readonly #encoder: RemoteEncoder;

  constructor(options: HttpEngineOptions, words: Words) {
    this.#options = options;
    this.#server = SERVERS[options.server];
    this.#words = words;
    const learn = async (wire: Wire): Promise<Facts> => {
      const facts = await askFacts(wire, this.#server);
      const [vector] = await ask({ wire, model: facts.model, stop: AbortSignal.timeout(PROOF_MS) }, [
        [words.vocabulary.bos ?? 0],
      ]);
      return { ...facts, dimensions: vector?.length ?? 0 };
    };
    this.#peer = new Peer(
      {
        name: this.#server.name,
        healthPath: "/health",
        tellsHealth: true,
        learn,
        onReady: () => undefined,
      },
      options,
    );
    this.#encoder = encoderOf(words, this.#server, this.#peer);
  }

  start(): Promise<void> {
    return this.#peer.start(this.#options.startWithinMs);
  }

  get info(): EngineInfo {
    const { contextTokens = 1, slots, dimensions = 0 } = this.#peer.known ?? {};
    return {
      model: this.#options.model,
      weights: this.#words.digest,
      contextTokens: Math.min(contextTokens, this.#options.contextTokens ?? Number.POSITIVE_INFINITY),
      slots: this.#options.slots ?? slots ?? SLOTS_DEFAULT,
      backend: this.#server.name,
      features: ["embeddings"],
      vocabularyTokens: this.#words.vocabulary.size,
      endTokens: this.#words.endTokens,
      embedding: { dimensions },
      answers: false,
    };
  }

  get ready(): boolean {
    return this.#peer.ready;
  }

  readonly wakeMs = (): number | undefined => this.#peer.wakeMs;

  encodeChat(): Promise<readonly number[]> {
    return Promise.reject(new EngineFault("unsupported", "This model makes embeddings and answers nothing."));
  }

  async encodeText(text: string, tokensMax?: number): Promise<readonly number[]> {
    if (!this.ready) throw notReady();
    return this.#encoder.encode([content(text)], tokensMax);
  }

  decode(tokens: readonly number[]): Promise<readonly Token[]> {
    return Promise.resolve(tokensOf(this.#words, tokens));
  }

  // oxlint-disable-next-line require-yield -- it answers nothing
  async *generate(): AsyncGenerator<EngineEvent, void, void> {
    await this.encodeChat();
  }

  embed(
    inputs: readonly (readonly number[])[],
    signal: AbortSignal,
  ): AsyncGenerator<Float32Array, void, void> {
    const { wire, model } = this.#peer;
    return this.#peer.during(signal, async function* (stop) {
      for (let at = 0; at < inputs.length; at += INPUTS_PER_REQUEST) {
        stop.throwIfAborted();
        yield* await ask({ wire, model, stop }, inputs.slice(at, at + INPUTS_PER_REQUEST));
      }
    });
  }

  close(): Promise<void> {
    this.#peer.close();
    return Promise.resolve();
  }
}

/** In the order of the inputs, whatever the server's. */
async function ask(
  { wire, model, stop }: { readonly wire: Wire; readonly model: string; readonly stop: AbortSignal },
  inputs: readonly (readonly number[])[],
): Promise<readonly Float32Array[]> {
  const body = { model, input: inputs, encoding_format: "float" };
  const { data } = Answer.parse(await wire.compute(PATH, body, stop));
  const vectors = data.toSorted((a, b) => a.index - b.index);
  if (vectors.length !== inputs.length || vectors.some(({ index }, at) => index !== at))
    throw new UnreadableAnswer(`${vectors.length} vectors for ${inputs.length} inputs`);
  return vectors.map(({ embedding }) => Float32Array.from(embedding));
}
