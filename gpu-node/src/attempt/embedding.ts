/**
 * Embeddings: one attempt that makes no position. It waits for a slot like any other, gives the engine its inputs one after
 * the other, and hands over all vectors in one piece. Its bill is its prompt: nothing while it waits, what was evaluated
 * when its reader leaves, all of it at the end.
 *
 * Invariant: the counts and the ending are journalled before the answer is written, so that whoever has it pays for it.
 */
import type { Ending } from "@sluice/protocol/receipt";
import type { Refusal } from "@sluice/protocol/refusal";
import type { Engine } from "../engines/engine.ts";
import type { EmbeddingWish } from "../intake/embedding-body.ts";
import { invalidField, unsupported } from "../intake/refuse.ts";
import type { Counts } from "../journal/journal.ts";
import { withNote } from "../print/events.ts";
import {
  printEmbeddings,
  printVector,
  vectorBytesMax,
  type EmbeddingFace,
} from "../print/openai-embedding.ts";
import { failureNote, printFailure } from "../print/failures.ts";
import { NoRoom, type Lease } from "../scheduler/scheduler.ts";
import type { Outlet } from "./outlet.ts";
import { failureOf, type Failure } from "../answer/failure.ts";
import type { Ledger, Outcome } from "./plan.ts";
import { Stopped, type StopEnding } from "./stopped.ts";
import type { Tools } from "./tools.ts";
import type { Begins } from "./work.ts";

/** An answer goes out in one piece, and is kept in memory until then; an edge reads no event that is much longer. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

export type EmbeddingPlan = {
  readonly inputs: readonly (readonly number[])[];
  readonly promptTokens: number;
  readonly face: EmbeddingFace;
  readonly lane: string;
  /** Whether the answer carries the edge's notes. */
  readonly notes: boolean;
};

export type EmbeddingFrame = {
  readonly modelAs: string;
  readonly lane: string;
  readonly promptCeiling: number;
  readonly notes: boolean;
};

type Planned =
  | { readonly ok: true; readonly plan: EmbeddingPlan }
  | { readonly ok: false; readonly refusal: Refusal };

/** Tokenises, and does no other work of the engine: everything that can be refused is refused here. */
export async function planEmbedding(
  engine: Engine,
  wish: EmbeddingWish,
  frame: EmbeddingFrame,
): Promise<Planned> {
  const { embedding, contextTokens, vocabularyTokens } = engine.info;
  if (embedding === undefined || engine.embed === undefined)
    return unsupported("model", "making embeddings with this model");
  const { dimensions } = embedding;
  if (wish.dimensions !== undefined && wish.dimensions !== dimensions)
    return unsupported("dimensions", `another number than this model's ${dimensions}`);
  const inputsMax = Math.floor(ANSWER_BYTES_MAX / vectorBytesMax(wish.encoding, dimensions));
  if (wish.inputs.length > inputsMax)
    return invalidField("input", `at most ${inputsMax} in one call, by the length of their answer`);
  const inputs: (readonly number[])[] = [];
  for (const [at, input] of wish.inputs.entries()) {
    const tokens = typeof input === "string" ? await engine.encodeText(input, contextTokens) : input;
    const problem = problemWith(tokens, { contextTokens, vocabularyTokens });
    if (problem !== undefined)
      return invalidField(wish.inputs.length === 1 ? "input" : `input[${at}]`, problem);
    inputs.push(tokens);
  }
  const promptTokens = inputs.reduce((sum, { length }) => sum + length, 0);
  if (promptTokens > frame.promptCeiling)
    return { ok: false, refusal: { kind: "hold_too_small", promptTokens } };
  const face = { model: frame.modelAs, encoding: wish.encoding };
  return { ok: true, plan: { inputs, promptTokens, face, lane: frame.lane, notes: frame.notes } };
}

function problemWith(
  tokens: readonly number[],
  { contextTokens, vocabularyTokens }: { readonly contextTokens: number; readonly vocabularyTokens: number },
): string | undefined {
  if (tokens.length === 0) return "it has no tokens";
  if (tokens.length > contextTokens)
    return `it has ${tokens.length} tokens or more; this model's context is ${contextTokens} tokens`;
  return tokens.some((id) => id >= vocabularyTokens)
    ? `the model's token ids are below ${vocabularyTokens}`
    : undefined;
}

export class EmbeddingAttempt implements Begins {
  readonly #plan: EmbeddingPlan;
  readonly #tools: Tools;
  readonly #outlet: Outlet;
  readonly #ledger: Ledger;
  readonly #abort = new AbortController();
  readonly #arrivedAtMs: number;
  #stopped: StopEnding | undefined;
  #vectors: string[] = [];
  #evaluated = 0;
  #queueMs = 0;
  #prefillMs = 0;

  constructor(plan: EmbeddingPlan, tools: Tools, outlet: Outlet, ledger: Ledger) {
    this.#plan = plan;
    this.#tools = tools;
    this.#outlet = outlet;
    this.#ledger = ledger;
    this.#arrivedAtMs = tools.now();
  }

  /** It makes no position. */
  readonly position = 0;

  get made(): number {
    return this.#vectors.length;
  }

  get prefillTokensPending(): number {
    return this.#plan.promptTokens - this.#evaluated;
  }

  /** Inputs are forgotten as soon as they are evaluated. */
  readonly contextTokens = 0;

  stop(ending: StopEnding): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = ending;
    this.#abort.abort(new Stopped(ending));
  }

  async run(): Promise<Outcome> {
    this.#outlet.onGone((why) => this.stop(why));
    const timer = setTimeout(() => this.stop("timeout"), this.#tools.attemptMsMax);
    const made = await this.#make();
    let ended: Ending;
    try {
      ended = await this.#handOver(made);
    } catch (error) {
      // What cannot be journalled must not be handed over.
      this.#tools.complain("journal_failed", error);
      this.#outlet.cut();
      ended = "engine_died";
    }
    clearTimeout(timer);
    const spared = made.spared === true ? ({ spared: true } as const) : {};
    return { ended, ...spared, to: 0, reasoning: 0, ...this.#counts() };
  }

  #counts(): Counts {
    return { prompt: this.#evaluated, cached: 0, queueMs: this.#queueMs, prefillMs: this.#prefillMs };
  }

  /** The engine's part: how it ended. Never rejects. */
  async #make(): Promise<Failure> {
    const { scheduler, speeds, measures, queueWaitMs, now } = this.#tools;
    let lease: Lease;
    try {
      lease = await scheduler.acquire(this.#plan.lane, queueWaitMs, this.#abort.signal);
    } catch (error) {
      return { ended: error instanceof NoRoom ? "no_room" : (this.#stopped ?? "client_gone") };
    }
    const leasedAtMs = now();
    this.#queueMs = Math.round(leasedAtMs - this.#arrivedAtMs);
    try {
      await this.#embed();
      measures.notePrompt(this.#evaluated, 0);
      return { ended: "stop" };
    } catch (error) {
      if (this.#stopped !== undefined) return { ended: this.#stopped };
      // Of vectors nothing is handed over before all of them are there.
      const failure = failureOf(error, false);
      this.#tools.complain(failure.refused === true ? "engine_refused" : "engine_failed", error);
      return failure;
    } finally {
      this.#prefillMs = Math.round(now() - leasedAtMs);
      speeds.service.note(now() - leasedAtMs);
      lease.release();
    }
  }

  async #embed(): Promise<void> {
    const { engine } = this.#tools;
    const { inputs, face } = this.#plan;
    if (engine.embed === undefined) throw new Error("this engine makes no embeddings");
    for await (const vector of engine.embed(inputs, this.#abort.signal)) {
      this.#evaluated += inputs[this.#vectors.length]?.length ?? 0;
      this.#vectors.push(printVector(face.encoding, vector, this.#vectors.length));
    }
    this.#abort.signal.throwIfAborted();
    if (this.#vectors.length !== inputs.length) throw new Error("the engine left inputs out");
  }

  async #handOver(made: Failure): Promise<Ending> {
    if (!this.#outlet.open) return this.#stopped ?? "client_gone";
    const { face, promptTokens, notes } = this.#plan;
    const { ended } = made;
    const failed = printFailure(made);
    if (ended === "stop") await this.#ledger.ends(ended, this.#counts());
    else if (!notes) this.#outlet.beginFailed(failed);
    const json = ended === "stop" ? printEmbeddings(face, this.#vectors, promptTokens) : undefined;
    this.#vectors = [];
    const note = json === undefined ? {} : { prompt: promptTokens, cached: 0, from: 0 };
    this.#outlet.write(
      notes ? withNote({ ...note, to: 0, ...failureNote(made) }, json) : (json ?? failed.body),
    );
    await this.#outlet.taken();
    if (!this.#outlet.open) return this.#stopped ?? "client_gone";
    this.#outlet.end();
    return ended;
  }
}
