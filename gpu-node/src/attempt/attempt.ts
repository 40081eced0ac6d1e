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
import type { Counts } from "../journal/journal.ts";
import type { FinishReason } from "../print/face.ts";
import { printFailure } from "../print/failures.ts";
import { Choice, finishReason } from "./choice.ts";
import type { Failure } from "../answer/failure.ts";
import { Maker } from "./maker.ts";
import type { Outlet } from "./outlet.ts";
import { toldOr, type Ledger, type Outcome, type Plan } from "./plan.ts";
import { Printer, type Totals } from "./printer.ts";
import type { StopEnding } from "./stopped.ts";
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
  readonly #choices: readonly Choice[];
  readonly #maker: Maker;
  /** Resolved when the node will not wait for the reader any longer. */
  readonly #hurry = Promise.withResolvers<void>();
  /** How the engine's part ended; undefined while it goes on. */
  #made: Ending | undefined;
  #wake: () => void = () => undefined;
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
    this.#choices = plan.tasks.map((task, index) => new Choice(index, task, plan.before));
    this.#to = plan.before.positions;
    this.#journalledTo = this.#to;
    this.#reasoning = plan.before.reasoning;
    this.#journalledReasoning = this.#reasoning;
    this.#gather = new Gather(this.#to, this.#reasoning, plan.told?.positionsMax);
    this.#maker = new Maker(
      { plan, choices: this.#choices, gather: this.#gather, told: () => this.#wake() },
      tools,
    );
  }

  /** Positions handed over so far. */
  get position(): number {
    return this.#to;
  }

  /** Positions made so far, handed over or not. */
  get made(): number {
    return this.#gather.to;
  }

  /** Prompt tokens that still have to be evaluated. */
  get prefillTokensPending(): number {
    return this.#made === undefined ? this.#maker.prefillTokensPending : 0;
  }

  /** Tokens in the engine's context, as far as is known here. */
  get contextTokens(): number {
    return this.#maker.evaluated + this.#gather.to;
  }

  /** Ends it now. The first reason given is the one that counts. */
  stop(ending: StopEnding): void {
    this.#maker.stop(ending);
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
    this.#maker.stop("client_gone");
    await making;
    const spared = this.#maker.failure?.spared === true ? ({ spared: true } as const) : {};
    return { ended, ...spared, ...this.#handedOver(ended), ...this.#counts() };
  }

  /** Never rejects. */
  async #make(): Promise<void> {
    this.#made = await this.#maker.run();
    this.#wake();
  }

  /* ---- to the reader -------------------------------------------------------------------------------------------- */

  async #deliver(): Promise<Ending> {
    let writtenAtMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      await this.#news();
      if (this.#made === undefined) await this.#pause(writtenAtMs + EVENT_GAP_MS - this.#tools.now());
      await this.#taken();
      if (!this.#outlet.open) return this.#maker.stopped ?? "client_gone";
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
    const ended = this.#maker.stopped;
    if (ended === undefined || this.#outlet.idle) return undefined;
    this.#outlet.write(this.#printer.failed({ ended }));
    this.#outlet.end();
    return ended;
  }

  /** One write of a stream; the ending once the last has been written. */
  async #handOver(): Promise<Ending | undefined> {
    const pieces = this.#gather.take(PIECES_PER_WRITE_MAX);
    const rest = this.#gather.hasText;
    const ended = rest ? undefined : this.#made;
    const reason = ended === undefined ? undefined : finishReason(ended);
    const finishing = rest ? [] : this.#overNow(ended);
    // A failed attempt's positions without text are not handed over: the next node makes them again.
    const failed = ended !== undefined && reason === undefined;
    const carried = failed || finishing.length === 0 ? [] : this.#gather.takeCarried();
    await this.#journal([...pieces.flatMap((piece) => piece.ids), ...carried], pieces.at(-1)?.reasoning);
    if (!this.#outlet.open) return this.#maker.stopped ?? "client_gone";
    const totals = this.#totals();
    let text = pieces.length > 0 ? this.#printer.pieces(pieces, totals) : "";
    if (failed) text += this.#printer.failed(this.#failure(ended));
    else text += this.#ends(finishing, { carried, reason, totals });
    if (text !== "") this.#outlet.write(text);
    this.#countHandedOver();
    return ended === undefined ? undefined : this.#close(ended);
  }

  /** Choices whose end is to be told now: the last ones together with the end of all. */
  #overNow(ended: Ending | undefined): readonly Choice[] {
    const over = this.#choices.filter((one) => !one.told && one.reason !== undefined);
    const open = this.#choices.some((one) => one.reason === undefined);
    return ended !== undefined || open ? over : [];
  }

  #ends(
    choices: readonly Choice[],
    told: {
      readonly carried: readonly number[];
      readonly reason: FinishReason | undefined;
      readonly totals: Totals;
    },
  ): string {
    const { carried, reason, totals } = told;
    const finishes = choices.flatMap((choice) => {
      choice.told = true;
      return choice.finish(this.#gather) ?? [];
    });
    if (reason !== undefined) return this.#printer.done({ finishes, ids: carried }, reason, totals);
    return finishes
      .map((finish, at) => this.#printer.finish(finish, at === 0 ? carried : [], totals))
      .join("");
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
    if (!this.#outlet.open) return this.#maker.stopped ?? "client_gone";
    const reason = finishReason(ended);
    if (reason === undefined && !this.#plan.notes)
      this.#outlet.beginFailed(printFailure(this.#failure(ended)));
    // Whoever has all of it pays for it, whatever dies between this write and the receipt.
    if (reason !== undefined) await this.#ledger.ends(ended);
    const finishes = this.#choices.flatMap((choice) => choice.finish(this.#gather) ?? []);
    this.#outlet.write(
      reason === undefined
        ? this.#printer.failed(this.#failure(ended))
        : this.#printer.whole(finishes, reason, this.#totals()),
    );
    return this.#close(ended);
  }

  #failure(ended: Ending): Failure {
    const { failure } = this.#maker;
    return failure?.ended === ended ? failure : { ended };
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
    if (!this.#outlet.open) return this.#maker.stopped ?? "client_gone";
    this.#outlet.end();
    return ended;
  }

  #totals(): Totals {
    const { prompt, cached } = this.#counts();
    const { to, reasoning } = toldOr(this.#plan, this.#maker.told, this.#gather);
    return { prompt, cached, from: this.#plan.before.positions, completion: to, reasoning };
  }

  /** What was handed over, for the receipt. */
  #handedOver(ended: Ending): Pick<Outcome, "to" | "reasoning" | "certainty"> {
    const own = { to: this.#to, reasoning: this.#reasoning };
    if (this.#plan.told === undefined) return own;
    const { told } = this.#maker;
    const whole = finishReason(ended) !== undefined || this.#to === this.#gather.to;
    return told === undefined || !whole
      ? { ...toldOr(this.#plan, undefined, own), certainty: "estimated" }
      : { ...toldOr(this.#plan, told, own), certainty: "reported" };
  }

  #counts(): Counts {
    return this.#maker.counts();
  }

  /* ---- waiting -------------------------------------------------------------------------------------------------- */

  /** Resolves when there is something to write, or the attempt is over. */
  async #news(): Promise<void> {
    while (!this.#hasNews()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  #hasNews(): boolean {
    if (this.#made !== undefined || !this.#outlet.open) return true;
    if (!this.#plan.stream) return this.#gather.to > this.#journalledTo;
    return this.#gather.hasText || this.#overNow(undefined).length > 0;
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
