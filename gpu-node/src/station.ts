/**
 * One model as a node serves it: the engine with its weights, its slots and the queue in front of them, how fast it is
 * and what it has cached. A node has one per model; a reload puts a new one in the place of the old, and what still runs
 * on the old stays there. All that stations share (journal, measures, limits) belongs to the workshop.
 */
import type { Load, ServedModel } from "@sluice/protocol/beat";
import { PROBE_FEATURE } from "@sluice/protocol/probe";
import type { Refusal } from "@sluice/protocol/refusal";
import { Attempt } from "./attempt/attempt.ts";
import { EmbeddingAttempt, planEmbedding, type EmbeddingFrame } from "./attempt/embedding.ts";
import type { Outlet } from "./attempt/outlet.ts";
import type { Ledger, Plan } from "./attempt/plan.ts";
import { prepare, type Frame, type Prepared } from "./attempt/prepare.ts";
import type { Running } from "./attempt/running.ts";
import type { Tools } from "./attempt/tools.ts";
import type { Work, Worked } from "./attempt/work.ts";
import { SketchBook } from "./beat/sketch-book.ts";
import { EngineFault, type Engine, type Task } from "./engines/engine.ts";
import { FREE } from "./grammar/form.ts";
import type { EmbeddingWish } from "./intake/embedding-body.ts";
import { invalidField, type Refused } from "./intake/refuse.ts";
import type { Wish } from "./intake/wish.ts";
import { EngineLoad } from "./load/engine-load.ts";
import type { Measures } from "./load/measures.ts";
import { Speeds } from "./load/speed.ts";
import { errorFields, type Log } from "./log.ts";
import { retryAfterMs } from "./scheduler/retry-after.ts";
import { NoRoom, Scheduler, type Lease, type Place } from "./scheduler/scheduler.ts";

/** Its own lane and isolation tag: nobody's prefix is reused, and nobody's turn is taken. */
const PROBE_LANE = "probe";
/** A probe that has no slot by then has its answer: others use the engine. */
const PROBE_WAIT_MS = 2_000;
const PROBE_MESSAGE = { role: "user", content: "Hi" } as const;
const GREEDY = { temperature: 0, topP: 1 };

export const LOADING = { kind: "loading", retryAfterMs: 1_000 } as const satisfies Refusal;
/** A refusal says no longer time. */
export const WAKE_MS_MAX = 60_000;

/** What a station has in common with the others of its node. */
export type Shared = {
  readonly running: Running;
  readonly measures: Measures;
  readonly log: Log;
  readonly now: () => number;
  readonly limits: {
    readonly queueMax: number;
    readonly queueWaitMs: number;
    readonly attemptMsMax: number;
  };
};

export class Station {
  readonly engine: Engine;
  readonly scheduler: Scheduler;
  readonly speeds = new Speeds();
  readonly sketchBook: SketchBook;
  readonly #shared: Shared;
  readonly #engineLoad: EngineLoad | undefined;

  constructor(engine: Engine, shared: Shared) {
    this.engine = engine;
    this.#shared = shared;
    this.scheduler = new Scheduler(engine.info.slots, shared.limits.queueMax);
    this.sketchBook = new SketchBook(() => this.scheduler.slots);
    if (engine.serverLoad !== undefined) this.#engineLoad = new EngineLoad(engine.serverLoad, shared.log);
  }

  get model(): string {
    return this.engine.info.model;
  }

  get weights(): string {
    return this.engine.info.weights;
  }

  get served(): ServedModel {
    const { model, weights, contextTokens, features, lacks = [] } = this.engine.info;
    const wakeMs = this.engine.ready ? undefined : this.engine.wakeMs?.();
    return {
      ...(wakeMs === undefined ? {} : { wakeMs }),
      id: model,
      weights,
      contextTokens,
      features: [...features, PROBE_FEATURE],
      ...(lacks.length === 0 ? {} : { lacks: [...lacks] }),
    };
  }

  /** Why it takes no calls while its engine starts again, and when it may. */
  get loading(): Refusal {
    const wakeMs = this.engine.wakeMs?.();
    return wakeMs === undefined ? LOADING : { kind: "loading", retryAfterMs: Math.min(WAKE_MS_MAX, wakeMs) };
  }

  /** A plan for what is asked, or why there is none. */
  async prepare(wish: Wish, frame: Frame): Promise<Prepared> {
    try {
      return await prepare(this.engine, wish, frame);
    } catch (error) {
      return this.#unprepared(error, wish.input.kind === "chat" ? "messages" : "prompt");
    }
  }

  /** What is asked as work that can be begun, or why it cannot. */
  async work(wish: Wish, frame: Frame): Promise<Worked> {
    const prepared = await this.prepare(wish, frame);
    if (!prepared.ok) return prepared;
    const { plan } = prepared;
    const { promptTokens, stream, before, echo } = plan;
    const begin: Work["begin"] = (outlet, ledger, name) => this.attempt(plan, outlet, ledger, name);
    return { ok: true, work: { promptTokens, stream, before, echo, begin } };
  }

  /** The same for embeddings. */
  async embeddingWork(wish: EmbeddingWish, frame: EmbeddingFrame): Promise<Worked> {
    try {
      const planned = await planEmbedding(this.engine, wish, frame);
      if (!planned.ok) return planned;
      const { plan } = planned;
      const begin: Work["begin"] = (outlet, ledger, name) =>
        new EmbeddingAttempt(plan, this.#tools(name), outlet, ledger);
      const before = { positions: 0, reasoning: 0 };
      const { promptTokens } = plan;
      return { ok: true, work: { promptTokens, stream: false, before, echo: undefined, begin } };
    } catch (error) {
      return this.#unprepared(error, "input");
    }
  }

  /** Why a prompt could not be made tokens. */
  #unprepared(error: unknown, param: string): Refused {
    const {
      kind,
      message,
      retryAfterMs = LOADING.retryAfterMs,
    } = error instanceof EngineFault ? error : { kind: undefined, message: "" };
    // A conversation that the model's template refuses would be refused everywhere.
    if (kind === "unsupported") return invalidField(param, message);
    this.#shared.log("prepare_failed", { model: this.model, ...errorFields(error) });
    if (kind === "busy") return { ok: false, refusal: { kind: "queue_full", retryAfterMs } };
    // It died while it tokenised; it comes back by itself.
    return { ok: false, refusal: this.loading };
  }

  /** `interrupted`: an answer that was begun elsewhere. */
  enter(interrupted = false): Place | { readonly refusal: Refusal } {
    const place = this.scheduler.enter(interrupted);
    if (place !== undefined) return place;
    const { queued, slots } = this.scheduler;
    return {
      refusal: { kind: "queue_full", retryAfterMs: retryAfterMs(queued, slots, this.speeds.service.ms) },
    };
  }

  /** Has the engine make one token of anything, in a slot like any other's; undefined where none comes free. */
  async oneToken(signal: AbortSignal): Promise<number | undefined> {
    const { engine, scheduler } = this;
    let lease: Lease;
    try {
      lease = await scheduler.acquire(PROBE_LANE, PROBE_WAIT_MS, signal);
    } catch (error) {
      if (error instanceof NoRoom) return undefined;
      throw error;
    }
    try {
      if (engine.info.answers === false) return await oneVector(engine, signal);
      return await oneAnswered(engine, signal);
    } finally {
      lease.release();
    }
  }

  attempt(plan: Plan, outlet: Outlet, ledger: Ledger, name: string): Attempt {
    return new Attempt(plan, this.#tools(name), outlet, ledger);
  }

  get load(): Load {
    const { slots, busy, queued, queueMax } = this.scheduler;
    const { running } = this.#shared;
    const server = this.#engineLoad?.last;
    const { contextTokens } = this.engine.info;
    const usedHere = running.contextTokens(this);
    const usedThere = Math.ceil((server?.kvUsage ?? 0) * slots * contextTokens);
    return {
      slots,
      slotsBusy: Math.min(slots, Math.max(busy, server?.running ?? 0)),
      queued: queued + (server?.waiting ?? 0),
      queueMax,
      prefillTokensPending: running.prefillTokensPending(this),
      prefillTokensPerS: this.speeds.prefill.tokensPerS,
      decodeTokensPerS: this.speeds.decode.tokensPerS,
      kvTokensFree: Math.max(0, slots * contextTokens - Math.max(usedHere, usedThere)),
      ...(this.loadFailing ? { ownOnly: true } : {}),
    };
  }

  /** An engine that is a server of its own does not say how loaded it is. */
  get loadFailing(): boolean {
    return this.#engineLoad?.failing === true;
  }

  /** Nothing runs here any more. */
  async close(): Promise<void> {
    this.#engineLoad?.stop();
    await this.engine.close();
  }

  #tools(name: string): Tools {
    const { measures, now, log, limits } = this.#shared;
    const { engine, scheduler, speeds } = this;
    const { queueWaitMs, attemptMsMax } = limits;
    const complain = (event: string, error: unknown): void =>
      log(event, { name, model: this.model, ...errorFields(error) });
    return { engine, scheduler, measures, speeds, queueWaitMs, attemptMsMax, now, complain };
  }
}

async function oneAnswered(engine: Engine, signal: AbortSignal): Promise<number> {
  const isTold = engine.info.told === true;
  const task: Task = {
    prompt: await engine.encodeChat({ messages: [PROBE_MESSAGE], thinking: false }),
    delivered: [],
    outputTokensMax: 1,
    sampling: GREEDY,
    tag: PROBE_LANE,
    ...(isTold
      ? { said: { messages: [PROBE_MESSAGE], tools: [], form: FREE, stops: [], thinks: false } }
      : {}),
  };
  let tokens = 0;
  for await (const event of engine.generate(task, signal)) {
    if (event.kind === "tokens") tokens += event.tokens.length;
    // Such a server may keep its token to itself, where it is a mark of thinking.
    if (isTold && event.kind === "end" && event.why === "length") tokens = Math.max(1, tokens);
  }
  if (tokens === 0) throw new Error("the engine ended without a token");
  return tokens;
}

/** Of a model that answers nothing a vector is as good a proof as a token. */
async function oneVector(engine: Engine, signal: AbortSignal): Promise<number> {
  const input = await engine.encodeText(PROBE_MESSAGE.content);
  for await (const vector of engine.embed?.([input], signal) ?? []) if (vector.length > 0) return 1;
  throw new Error("the engine ended without a vector");
}
