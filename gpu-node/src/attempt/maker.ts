/**
 * The engine's side of an attempt: waits for a slot, takes tokens as fast as they come, frees the slot when they end. With
 * several choices each takes a slot of its own when one is free, so no call waits for slots it will never all have.
 */
import type { Ending } from "@sluice/protocol/receipt";
import type { Gather } from "../answer/gather.ts";
import type { Told } from "../engines/engine.ts";
import type { Counts } from "../journal/journal.ts";
import { NoRoom, type Lease } from "../scheduler/scheduler.ts";
import { type Choice, finishReason, joint } from "./choice.ts";
import { failureOf, type Failure } from "../answer/failure.ts";
import type { Plan } from "./plan.ts";
import { Stopped, type StopEnding } from "./stopped.ts";
import type { Tools } from "./tools.ts";

export type Work = {
  readonly plan: Plan;
  readonly choices: readonly Choice[];
  readonly gather: Gather;
  /** There is something new. */
  readonly told: () => void;
};

export class Maker {
  readonly #work: Work;
  readonly #tools: Tools;
  readonly #abort = new AbortController();
  readonly #arrivedAtMs: number;
  #stopped: StopEnding | undefined;
  #evaluated = 0;
  #cached = 0;
  #queueMs = 0;
  #prefillMs = 0;
  #producing = false;
  #told: Told | undefined;
  #failure: Failure | undefined;

  constructor(work: Work, tools: Tools) {
    this.#work = work;
    this.#tools = tools;
    this.#arrivedAtMs = tools.now();
  }

  /** Why it was stopped from outside, where it was. */
  get stopped(): StopEnding | undefined {
    return this.#stopped;
  }

  /** What the engine failed at, where it did. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  /** What the engine's server says it has counted; undefined where the engine counts itself, or was not told. */
  get told(): Told | undefined {
    return this.#told;
  }

  /** Prompt tokens in the context, the cached ones included. */
  get evaluated(): number {
    return this.#evaluated;
  }

  get prefillTokensPending(): number {
    return this.#producing ? 0 : this.#work.plan.promptTokens - this.#evaluated;
  }

  stop(ending: StopEnding): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = ending;
    this.#abort.abort(new Stopped(ending));
  }

  counts(): Counts {
    const { echo, told } = this.#work.plan;
    const prompt = Math.min(
      this.#told?.prompt ?? this.#evaluated,
      told?.promptMax ?? Number.POSITIVE_INFINITY,
    );
    return {
      prompt: echo?.prompt ?? prompt,
      cached: echo?.cached ?? Math.min(this.#cached, prompt),
      queueMs: this.#queueMs,
      prefillMs: this.#prefillMs,
    };
  }

  /** How it ended. Never rejects; once. */
  async run(): Promise<Ending> {
    const endings = await Promise.all(this.#work.choices.map((choice) => this.#produce(choice)));
    const failures = endings.filter((ended) => finishReason(ended) === undefined);
    // Those that were given up because another failed say nothing.
    const failed = failures.find((ended) => ended !== "client_gone") ?? failures[0];
    return failed ?? joint(endings.flatMap((ended) => finishReason(ended) ?? []));
  }

  /** One failing choice fails them all: nobody could be told which parts of an answer are missing. */
  async #produce(choice: Choice): Promise<Ending> {
    const ended = await this.#produceOne(choice);
    if (finishReason(ended) === undefined) this.#abort.abort(new Stopped("client_gone"));
    this.#work.told();
    return ended;
  }

  async #produceOne(choice: Choice): Promise<Ending> {
    if (choice.stopped) return choice.end("stop");
    if (choice.task.outputTokensMax === 0) return choice.end("length");
    let lease: Lease;
    try {
      lease = await this.#tools.scheduler.acquire(
        this.#work.plan.lane,
        // Once one answer runs there is room for this call: the others take turns in it.
        choice.index === 0 ? this.#tools.queueWaitMs : this.#tools.attemptMsMax,
        this.#abort.signal,
        choice.task.delivered.length > 0,
      );
    } catch (error) {
      return error instanceof NoRoom ? "no_room" : (this.#stopped ?? "client_gone");
    }
    const leasedAtMs = this.#tools.now();
    if (!this.#producing) this.#queueMs = Math.round(leasedAtMs - this.#arrivedAtMs);
    const enough = new AbortController();
    try {
      return await this.#generate(choice, enough, leasedAtMs);
    } catch (error) {
      if (this.#stopped !== undefined) return this.#stopped;
      if (enough.signal.aborted) return choice.end("stop");
      // Another choice failed: that one says why.
      if (this.#abort.signal.aborted) return "client_gone";
      this.#failure = failureOf(error, this.#producing);
      this.#tools.complain(this.#failure.refused === true ? "engine_refused" : "engine_failed", error);
      return this.#failure.ended;
    } finally {
      this.#tools.speeds.service.note(this.#tools.now() - leasedAtMs);
      lease.release();
    }
  }

  async #generate(choice: Choice, enough: AbortController, leasedAtMs: number): Promise<Ending> {
    const { rules } = this.#work.plan;
    let startedAtMs = leasedAtMs;
    let stepAtMs: number | undefined;
    const signal = AbortSignal.any([this.#abort.signal, enough.signal]);
    // A request pays for one prompt: that of its first choice, which is the first to have a slot. What another finds cached says
    // nothing of it: its slot may hold less, or already what the first one has just evaluated.
    const counts = choice.index === 0;
    for await (const event of this.#tools.engine.generate(choice.task, signal)) {
      switch (event.kind) {
        case "started":
          startedAtMs = this.#tools.now();
          if (!counts) break;
          this.#cached = event.cached;
          if (!this.#producing) this.#evaluated = event.cached;
          break;
        case "counted":
          if (!counts) break;
          this.#cached = event.cached;
          // Positions that are told are one choice's; the bill's are all of them.
          if (this.#work.choices.length === 1) this.#told = event.told;
          break;
        case "evaluated":
          if (counts && !this.#producing) this.#evaluated = event.promptTokens;
          break;
        case "tokens": {
          const nowMs = this.#tools.now();
          if (!this.#producing) this.#firstTokens(nowMs, startedAtMs);
          const gapMs = stepAtMs === undefined ? undefined : nowMs - stepAtMs;
          this.#tools.measures.noteTokens(event.tokens.length, gapMs);
          if (gapMs !== undefined) this.#tools.speeds.decode.note(event.tokens.length, gapMs);
          stepAtMs = nowMs;
          const hit = choice.take(rules, event.tokens, this.#work.gather);
          if (hit !== undefined) {
            // Nobody wants what comes after it; the engine may stop at once.
            enough.abort(new Stopped("client_gone"));
            return choice.end("stop");
          }
          this.#work.told();
          break;
        }
        case "end":
          return choice.end(event.why);
      }
    }
    throw new Error("the engine ended without saying how");
  }

  #firstTokens(nowMs: number, startedAtMs: number): void {
    const { measures, speeds } = this.#tools;
    const { promptTokens } = this.#work.plan;
    this.#producing = true;
    this.#evaluated = promptTokens;
    this.#prefillMs = Math.round(nowMs - startedAtMs);
    measures.notePrompt(promptTokens, this.#cached);
    speeds.prefill.note(promptTokens - this.#cached, nowMs - startedAtMs);
    measures.noteFirstToken(nowMs - this.#arrivedAtMs);
  }
}
