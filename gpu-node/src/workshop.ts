/**
 * What attempts are made with: the engine once it is open, its scheduler, what is measured and what runs. One per
 * process; the same for calls of an edge and for clients of a node alone.
 */
import type { Load, ServedModel } from "@sluice/protocol/beat";
import type { Refusal } from "@sluice/protocol/refusal";
import { Attempt } from "./attempt/attempt.ts";
import type { Tools } from "./attempt/tools.ts";
import { Outlet, OUTLET_TIMES, type OutletTimes } from "./attempt/outlet.ts";
import type { Ledger, Plan } from "./attempt/plan.ts";
import { prepare, type Frame, type Prepared } from "./attempt/prepare.ts";
import { Running } from "./attempt/running.ts";
import type { Spoken } from "./dialects.ts";
import { EngineFault, type Engine } from "./engines/engine.ts";
import type { Parsed } from "./intake/chat-body.ts";
import { invalid, invalidField } from "./intake/refuse.ts";
import type { Wish } from "./intake/wish.ts";
import { SketchBook } from "./beat/sketch-book.ts";
import { EngineLoad } from "./load/engine-load.ts";
import { LoopDelay } from "./load/loop-delay.ts";
import { Measures } from "./load/measures.ts";
import { errorFields, type Log } from "./log.ts";
import { retryAfterMs } from "./scheduler/retry-after.ts";
import { Scheduler, type Place } from "./scheduler/scheduler.ts";

export type WorkshopLimits = {
  readonly queueMax: number;
  readonly queueWaitMs: number;
  readonly attemptMsMax: number;
  /** Of readers; tests shorten them. */
  readonly outlet?: OutletTimes;
};

const UNREADABLE = invalid("The body could not be read.", null);
const RETRY_AFTER_MS = 1_000;

export class Workshop {
  readonly running = new Running();
  readonly measures = new Measures();
  readonly loop = new LoopDelay();
  readonly sketchBook = new SketchBook(() => this.#scheduler?.slots ?? 0);
  readonly log: Log;
  readonly now: () => number;
  readonly #limits: WorkshopLimits;
  #engine: Engine | undefined;
  #scheduler: Scheduler | undefined;
  #engineLoad: EngineLoad | undefined;

  constructor(limits: WorkshopLimits, log: Log, now: () => number) {
    this.#limits = limits;
    this.log = log;
    this.now = now;
  }

  open(engine: Engine): void {
    this.#engine = engine;
    if (engine.serverLoad !== undefined) this.#engineLoad = new EngineLoad(engine.serverLoad, this.log);
    this.#scheduler = new Scheduler(engine.info.slots, this.#limits.queueMax);
  }

  get engine(): Engine | undefined {
    return this.#engine;
  }

  get ready(): boolean {
    return this.#engine?.ready === true;
  }

  get queued(): number {
    return this.#scheduler?.queued ?? 0;
  }

  outlet(response: ConstructorParameters<typeof Outlet>[0]): Outlet {
    return new Outlet(response, this.#limits.outlet ?? OUTLET_TIMES);
  }

  /** What a body asks. A client's body must never be what ends a node: whatever goes wrong is the body's fault first. */
  read(spoken: Spoken, body: Uint8Array): Parsed {
    try {
      return spoken.parse(body);
    } catch (error) {
      this.log("body_unreadable", errorFields(error));
      return UNREADABLE;
    }
  }

  /** A plan for what is asked, or why there is none. */
  async prepare(wish: Wish, frame: Frame): Promise<Prepared> {
    const engine = this.#engine;
    if (engine === undefined)
      return { ok: false, refusal: { kind: "loading", retryAfterMs: RETRY_AFTER_MS } };
    try {
      return await prepare(engine, wish, frame);
    } catch (error) {
      // A conversation that the model's template refuses would be refused everywhere.
      if (error instanceof EngineFault && error.kind === "unsupported")
        return invalidField(wish.input.kind === "chat" ? "messages" : "prompt", error.message);
      // It died while it tokenised; it comes back by itself.
      this.log("prepare_failed", errorFields(error));
      return { ok: false, refusal: { kind: "loading", retryAfterMs: RETRY_AFTER_MS } };
    }
  }

  enter(): Place | { readonly refusal: Refusal } {
    const place = this.#scheduler?.enter();
    if (place !== undefined) return place;
    const slots = this.#scheduler?.slots ?? 1;
    const waitMs = retryAfterMs(this.queued, slots, this.measures.service.ms);
    return { refusal: { kind: "queue_full", retryAfterMs: waitMs } };
  }

  attempt(plan: Plan, outlet: Outlet, ledger: Ledger, name: string): Attempt {
    return new Attempt(plan, this.#tools(name), outlet, ledger);
  }

  #tools(name: string): Tools {
    const engine = this.#engine;
    const scheduler = this.#scheduler;
    if (engine === undefined || scheduler === undefined) throw new Error("no engine is open");
    const complain = (event: string, error: unknown): void =>
      this.log(event, { name, ...errorFields(error) });
    const { queueWaitMs, attemptMsMax } = this.#limits;
    return { engine, scheduler, measures: this.measures, queueWaitMs, attemptMsMax, now: this.now, complain };
  }

  /* ---- what others want to know --------------------------------------------------------------------------------- */

  get models(): readonly ServedModel[] {
    if (this.#engine === undefined) return [];
    const { model, weights, contextTokens, features } = this.#engine.info;
    return [{ id: model, weights, contextTokens, features: [...features] }];
  }

  /** An engine that is a server of its own does not say how loaded it is. */
  get engineLoadFailing(): boolean {
    return this.#engineLoad?.failing === true;
  }

  stop(): void {
    this.loop.stop();
    this.#engineLoad?.stop();
  }

  get load(): Load {
    const slots = this.#scheduler?.slots ?? 0;
    const contextTokens = this.#engine?.info.contextTokens ?? 0;
    const server = this.#engineLoad?.last;
    const usedHere = this.running.contextTokens;
    const usedThere = Math.ceil((server?.kvUsage ?? 0) * slots * contextTokens);
    return {
      slots,
      slotsBusy: Math.min(slots, Math.max(this.#scheduler?.busy ?? 0, server?.running ?? 0)),
      queued: this.queued + (server?.waiting ?? 0),
      queueMax: this.#scheduler?.queueMax ?? 0,
      prefillTokensPending: this.running.prefillTokensPending,
      prefillTokensPerS: this.measures.prefill.tokensPerS,
      decodeTokensPerS: this.measures.decode.tokensPerS,
      kvTokensFree: Math.max(0, slots * contextTokens - Math.max(usedHere, usedThere)),
    };
  }
}
