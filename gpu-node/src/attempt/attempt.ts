/**
 * One attempt, from the queue to its last byte: two loops that meet in a Gather. One takes tokens from the engine as
 * fast as they come and frees the slot when they end; the other journals positions, then writes the events they are in,
 * as fast as the reader takes them. So a slow reader costs memory up to the ceiling and never a slot.
 *
 * Invariants: no event is written before its positions are journalled; `to` counts exactly the positions whose write was
 * begun on an open socket (in an answer sent whole: those journalled); whatever stops the attempt first names its ending.
 */
import type { Ending } from "@sluice/protocol/receipt";
import { Gather } from "../answer/gather.ts";
import { remainder, step, type Answering } from "../answer/reduce.ts";
import type { Token } from "../engines/engine.ts";
import type { Counts } from "../journal/journal.ts";
import type { FinishReason } from "../print/openai-chat.ts";
import { NoRoom, type Lease } from "../scheduler/scheduler.ts";
import type { Outlet } from "./outlet.ts";
import type { Ledger, Outcome, Plan } from "./plan.ts";
import { Printer, type Totals } from "./printer.ts";
import { Stopped, type StopEnding } from "./stopped.ts";
import type { Tools } from "./tools.ts";

/** Tokens that come faster than this go out together. */
const EVENT_GAP_MS = 20;
/** Pieces in one write; the rest follows when the reader has taken them. */
const PIECES_PER_WRITE_MAX = 4;

export class Attempt {
  readonly #plan: Plan;
  readonly #tools: Tools;
  readonly #outlet: Outlet;
  readonly #ledger: Ledger;
  readonly #printer: Printer;
  readonly #gather: Gather;
  readonly #abort = new AbortController();
  readonly #arrivedAtMs: number;
  #state: Answering;
  #stopped: StopEnding | undefined;
  /** Resolved when the node will not wait for the reader any longer. */
  readonly #hurry = Promise.withResolvers<void>();
  /** How the engine's part ended; undefined while it goes on. */
  #made: Ending | undefined;
  #wake: () => void = () => undefined;
  /** Prompt tokens in the context, the cached ones included. */
  #evaluated = 0;
  #cached = 0;
  #queueMs = 0;
  #prefillMs = 0;
  #producing = false;
  #hitStop = false;
  #journalledTo: number;
  #journalledReasoning: number;
  #to: number;
  #reasoning: number;

  constructor(plan: Plan, tools: Tools, outlet: Outlet, ledger: Ledger) {
    this.#plan = plan;
    this.#tools = tools;
    this.#outlet = outlet;
    this.#ledger = ledger;
    this.#printer = new Printer(plan);
    this.#state = plan.before;
    this.#to = plan.before.positions;
    this.#journalledTo = this.#to;
    this.#reasoning = plan.before.reasoning;
    this.#journalledReasoning = this.#reasoning;
    this.#gather = new Gather(this.#to, this.#reasoning);
    this.#arrivedAtMs = tools.now();
  }

  /** Positions handed over so far. */
  get position(): number {
    return this.#to;
  }

  /** Positions made so far, handed over or not. */
  get made(): number {
    return this.#state.positions;
  }

  /** Prompt tokens that still have to be evaluated. */
  get prefillTokensPending(): number {
    return this.#producing || this.#made !== undefined ? 0 : this.#plan.task.prompt.length - this.#evaluated;
  }

  /** Tokens in the engine's context, as far as is known here. */
  get contextTokens(): number {
    return this.#evaluated + this.#state.positions;
  }

  /** Ends it now. The first reason given is the one that counts. */
  stop(ending: StopEnding): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = ending;
    this.#abort.abort(new Stopped(ending));
    if (ending === "drained" || ending === "timeout") this.#hurry.resolve();
    this.#wake();
  }

  /** Never rejects; once. */
  async run(): Promise<Outcome> {
    this.#outlet.onGone((why) => this.stop(why));
    const timer = setTimeout(() => this.stop("timeout"), this.#tools.attemptMsMax);
    const making = this.#make();
    let ended: Ending;
    try {
      ended = await this.#deliver();
    } catch (error) {
      // What cannot be journalled must not be handed over, and without a journal there is no bill.
      this.#tools.complain("journal_failed", error);
      this.#outlet.cut();
      ended = "engine_died";
    }
    clearTimeout(timer);
    this.#abort.abort(new Stopped("client_gone"));
    await making;
    return { ended, to: this.#to, reasoning: this.#reasoning, ...this.#counts() };
  }

  /* ---- from the engine ------------------------------------------------------------------------------------------ */

  /** Never rejects. */
  async #make(): Promise<void> {
    this.#made = await this.#produce();
    this.#wake();
  }

  async #produce(): Promise<Ending> {
    const { task, before } = this.#plan;
    if (before.stopped) return "stop";
    if (task.outputTokensMax === 0) return this.#end("length");
    let lease: Lease;
    try {
      lease = await this.#tools.scheduler.acquire(
        this.#plan.lane,
        this.#tools.queueWaitMs,
        this.#abort.signal,
      );
    } catch (error) {
      return error instanceof NoRoom ? "no_room" : (this.#stopped ?? "client_gone");
    }
    const leasedAtMs = this.#tools.now();
    this.#queueMs = Math.round(leasedAtMs - this.#arrivedAtMs);
    try {
      return await this.#generate(leasedAtMs);
    } catch (error) {
      if (this.#stopped !== undefined) return this.#stopped;
      if (this.#hitStop) return "stop";
      this.#tools.complain("engine_failed", error);
      return "engine_died";
    } finally {
      this.#tools.measures.service.note(this.#tools.now() - leasedAtMs);
      lease.release();
    }
  }

  async #generate(leasedAtMs: number): Promise<Ending> {
    const { task } = this.#plan;
    let startedAtMs = leasedAtMs;
    let stepAtMs: number | undefined;
    for await (const event of this.#tools.engine.generate(task, this.#abort.signal)) {
      switch (event.kind) {
        case "started":
          startedAtMs = this.#tools.now();
          this.#cached = event.cached;
          this.#evaluated = event.cached;
          break;
        case "evaluated":
          this.#evaluated = event.promptTokens;
          break;
        case "tokens": {
          const nowMs = this.#tools.now();
          if (!this.#producing) this.#firstTokens(nowMs, startedAtMs);
          this.#tools.measures.noteTokens(
            event.tokens.length,
            stepAtMs === undefined ? undefined : nowMs - stepAtMs,
          );
          stepAtMs = nowMs;
          if (this.#take(event.tokens) === "stop_string") {
            // Nobody wants what comes after it; the engine may stop at once.
            this.#hitStop = true;
            this.#abort.abort(new Stopped("client_gone"));
            return "stop";
          }
          break;
        }
        case "end":
          return this.#end(event.why);
      }
    }
    throw new Error("the engine ended without saying how");
  }

  #firstTokens(nowMs: number, startedAtMs: number): void {
    const { measures } = this.#tools;
    const promptTokens = this.#plan.task.prompt.length;
    this.#producing = true;
    this.#evaluated = promptTokens;
    this.#prefillMs = Math.round(nowMs - startedAtMs);
    measures.notePrompt(promptTokens, this.#cached);
    measures.prefill.note(promptTokens - this.#cached, nowMs - startedAtMs);
    measures.noteFirstToken(nowMs - this.#arrivedAtMs);
  }

  #take(tokens: readonly Token[]): "stop_string" | undefined {
    const { rules } = this.#plan;
    for (const token of tokens) {
      const { state, delta } = step(rules, this.#state, token);
      this.#state = state;
      this.#gather.add(token.id, delta, state.reasoning);
      if (state.stopped && !rules.endTokens.has(token.id)) return "stop_string";
    }
    this.#wake();
    return undefined;
  }

  #end(why: "stop" | "length"): Ending {
    const rest = remainder(this.#state);
    if (rest !== undefined) this.#gather.addText(rest);
    return why;
  }

  /* ---- to the reader -------------------------------------------------------------------------------------------- */

  async #deliver(): Promise<Ending> {
    let writtenAtMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      await this.#news();
      if (this.#made === undefined) await this.#pause(writtenAtMs + EVENT_GAP_MS - this.#tools.now());
      await this.#taken();
      if (!this.#outlet.open) return this.#stopped ?? "client_gone";
      const late = this.#leaveSlowReader();
      if (late !== undefined) return late;
      const ended = this.#plan.stream ? await this.#handOver() : await this.#handOverWhole();
      if (ended !== undefined) return ended;
      writtenAtMs = this.#tools.now();
    }
  }

  #taken(): Promise<void> {
    return Promise.race([this.#outlet.taken(), this.#hurry.promise]);
  }

  /**
   * A reader that has not taken what it was written when the node's time is up: it finds the ending behind that,
   * whenever it comes to it, and the rest of the answer elsewhere. The attempt is over now.
   */
  #leaveSlowReader(): Ending | undefined {
    const ended = this.#stopped;
    if (ended === undefined || this.#outlet.idle) return undefined;
    this.#outlet.write(this.#printer.failed(ended));
    this.#outlet.end();
    return ended;
  }

  /** One write of a stream; the ending once the last has been written. */
  async #handOver(): Promise<Ending | undefined> {
    const pieces = this.#gather.take(PIECES_PER_WRITE_MAX);
    const ended = this.#gather.hasText ? undefined : this.#made;
    const reason = ended === undefined ? undefined : finishReason(ended);
    // A failed attempt's positions without text are not handed over: the next node makes them again.
    const carried = reason === undefined ? [] : this.#gather.takeCarried();
    await this.#journal([...pieces.flatMap((piece) => piece.ids), ...carried], pieces.at(-1)?.reasoning);
    if (!this.#outlet.open) return this.#stopped ?? "client_gone";
    const totals = this.#totals();
    let text = pieces.length > 0 ? this.#printer.pieces(pieces, totals) : "";
    if (ended !== undefined)
      text +=
        reason === undefined ? this.#printer.failed(ended) : this.#printer.finish(reason, carried, totals);
    if (text !== "") this.#outlet.write(text);
    this.#countHandedOver();
    return ended === undefined ? undefined : this.#close(ended);
  }

  /** An answer that is sent whole: positions are journalled as they come, and written at the end. */
  async #handOverWhole(): Promise<Ending | undefined> {
    const pieces = this.#gather.take(Number.POSITIVE_INFINITY);
    const ids = [...pieces.flatMap((piece) => piece.ids), ...this.#gather.takeCarried()];
    this.#printer.keep(pieces, ids);
    await this.#journal(ids, this.#gather.reasoning);
    this.#countHandedOver();
    const ended = this.#made;
    if (ended === undefined || this.#gather.to > this.#to || this.#gather.hasText) return undefined;
    if (!this.#outlet.open) return this.#stopped ?? "client_gone";
    const reason = finishReason(ended);
    if (reason === undefined && !this.#plan.notes) this.#outlet.beginFailed();
    this.#outlet.write(
      reason === undefined ? this.#printer.failed(ended) : this.#printer.whole(reason, this.#totals()),
    );
    return this.#close(ended);
  }

  async #journal(ids: readonly number[], reasoning: number | undefined): Promise<void> {
    if (ids.length === 0) return;
    const from = this.#journalledTo;
    const to = from + ids.length;
    const thought =
      to === this.#gather.to ? this.#gather.reasoning : (reasoning ?? this.#journalledReasoning);
    const first = from === this.#plan.before.positions;
    await this.#ledger.progress({ from, to, reasoning: thought, ids }, first ? this.#counts() : undefined);
    this.#journalledTo = to;
    this.#journalledReasoning = thought;
  }

  #countHandedOver(): void {
    this.#to = this.#journalledTo;
    this.#reasoning = this.#journalledReasoning;
  }

  /** Waits until the last bytes were taken: until then the reader may still leave. */
  async #close(ended: Ending): Promise<Ending> {
    await this.#taken();
    if (!this.#outlet.open) return this.#stopped ?? "client_gone";
    this.#outlet.end();
    return ended;
  }

  #totals(): Totals {
    const { prompt, cached } = this.#counts();
    const { positions, reasoning } = this.#state;
    return { prompt, cached, from: this.#plan.before.positions, completion: positions, reasoning };
  }

  #counts(): Counts {
    const { echo } = this.#plan;
    return {
      prompt: echo?.prompt ?? this.#evaluated,
      cached: echo?.cached ?? Math.min(this.#cached, this.#evaluated),
      queueMs: this.#queueMs,
      prefillMs: this.#prefillMs,
    };
  }

  /* ---- waiting -------------------------------------------------------------------------------------------------- */

  /** Resolves when there is something to write, or the attempt is over. */
  async #news(): Promise<void> {
    while (!this.#hasNews()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  #hasNews(): boolean {
    if (this.#made !== undefined || !this.#outlet.open) return true;
    return this.#plan.stream ? this.#gather.hasText : this.#gather.to > this.#journalledTo;
  }

  /** Ends early when the engine's part is over or the reader has left. */
  async #pause(ms: number): Promise<void> {
    const overAtMs = this.#tools.now() + ms;
    for (let restMs = ms; restMs > 0 && this.#made === undefined && this.#outlet.open;) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, restMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      restMs = overAtMs - this.#tools.now();
    }
  }
}

/** How a natural ending is told to the client; undefined for the others. */
function finishReason(ended: Ending): FinishReason | undefined {
  return ended === "stop" || ended === "length" ? ended : undefined;
}
