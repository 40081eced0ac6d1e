/**
 * One attempt's answer as the bytes that are written: which events, in which order, with which notes. Keeps only what
 * has been printed already (the first event says what will be billed, once; each choice begins once) and, where the answer
 * is not streamed, its text so far. Writes nothing itself.
 */
import type { Piece, Weighed } from "../answer/gather.ts";
import { DONE, type Finish, type FinishReason, type Usage, type WholeChoice } from "../print/face.ts";
import { withNote, withoutNote, type PrintEvent } from "../print/events.ts";
import { failureNote, printFailure } from "../print/failures.ts";
import type { Failure } from "../answer/failure.ts";
import type { Plan } from "./plan.ts";

/** What is known once the first token is there, and what was counted. */
export type Totals = Usage & { readonly from: number };

type Kept = {
  content: string;
  reasoning: string;
  readonly calls: { name: string; arguments: string }[];
  readonly weighed: { readonly content: Weighed[]; readonly reasoning: Weighed[] };
};

export class Printer {
  readonly #plan: Plan;
  readonly #event: PrintEvent;
  #first = true;
  #to: number;
  readonly #opened = new Set<number>();
  readonly #kept: readonly Kept[];
  readonly #ids: number[] = [];

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#event = plan.notes ? withNote : withoutNote;
    this.#to = plan.before.positions;
    this.#kept = plan.tasks.map(() => ({
      content: "",
      reasoning: "",
      calls: [],
      weighed: { content: [], reasoning: [] },
    }));
  }

  /** The events of a stream for these pieces. */
  pieces(pieces: readonly Piece[], totals: Totals): string {
    const { face, print } = this.#plan;
    let text = "";
    for (const piece of pieces) {
      text += this.#opening(piece.choice, totals);
      const note = { ...this.#billing(totals), to: piece.to, ...this.#idsOf(piece.ids) };
      text += this.#event(note, print.piece(face, piece));
      this.#to = piece.to;
    }
    return text;
  }

  /** The event with which one of several choices ends; `ids` are the positions no piece took along. */
  finish(finish: Finish, ids: readonly number[], totals: Totals): string {
    return this.#finish(finish, ids, totals, undefined);
  }

  /** The end of a stream that ended naturally, and of those choices whose end has not been told: all or nothing of it. */
  done(
    { finishes, ids }: { readonly finishes: readonly Finish[]; readonly ids: readonly number[] },
    reason: FinishReason,
    totals: Totals,
  ): string {
    const { face, print, finishTold } = this.#plan;
    let text = "";
    if (!finishTold)
      for (const [at, finish] of finishes.entries())
        text += this.#finish(finish, at === 0 ? ids : [], totals, "more");
    const to = this.#to;
    if (face.includeUsage)
      text += this.#event({ ...this.#billing(totals), to }, print.usage(face, totals), "more");
    const last = { ...this.#billing(totals), to, reasoning: totals.reasoning, ended: reason };
    return text + this.#event(last, DONE);
  }

  #finish(finish: Finish, ids: readonly number[], totals: Totals, more: "more" | undefined): string {
    const { face, print } = this.#plan;
    const opening = this.#opening(finish.choice, totals);
    this.#to += ids.length;
    const note = { ...this.#billing(totals), to: this.#to, ...this.#idsOf(ids) };
    return opening + this.#event(note, print.finish(face, finish), more);
  }

  /** Keeps the text of an answer that is sent whole. */
  keep(pieces: readonly Piece[], ids: readonly number[]): void {
    for (const { choice, delta, weighed } of pieces) {
      const kept = this.#kept[choice];
      if (kept === undefined) continue;
      if (delta.channel === "tool") {
        if (delta.name !== undefined) kept.calls[delta.call] = { name: delta.name, arguments: "" };
        const call = kept.calls[delta.call];
        if (call !== undefined) call.arguments += delta.text;
      } else {
        kept[delta.channel] += delta.text;
        kept.weighed[delta.channel].push(...weighed);
      }
    }
    this.#ids.push(...ids);
    this.#to += ids.length;
  }

  /** A whole answer's JSON, and the one event it is for an edge. */
  whole(finishes: readonly Finish[], reason: FinishReason, totals: Totals): string {
    const { face, print, notes, weights } = this.#plan;
    const json = print.whole(
      face,
      finishes.map((finish) => this.#wholeChoice(finish)),
      totals,
    );
    if (!notes) return json;
    const { prompt, cached, from } = totals;
    const note = { prompt, cached, from, to: this.#to, ...this.#idsOf(this.#ids), ended: reason, weights };
    return this.#event(note, json);
  }

  /** What says that an attempt failed, and after which nothing comes: to an edge a note, to others an error. */
  failed(failure: Failure): string {
    const { notes, stream } = this.#plan;
    if (notes) return this.#event({ to: this.#to, ...failureNote(failure) });
    const { body } = printFailure(failure);
    return stream ? this.#event({}, body) : body;
  }

  #wholeChoice({ choice, reason, tail, weighed }: Finish): WholeChoice {
    const rest = { choice, delta: tail, weighed };
    if (tail !== undefined) this.keep([{ ...rest, delta: tail, ids: [], to: 0, reasoning: 0 }], []);
    const kept = this.#kept[choice];
    const reasoning = kept?.reasoning ?? "";
    return {
      reasoning: this.#plan.thinking || reasoning !== "" ? reasoning : undefined,
      content: kept?.content ?? "",
      calls: kept?.calls ?? [],
      weighed: kept?.weighed ?? { content: [], reasoning: [] },
      reason,
    };
  }

  #opening(choice: number, totals: Totals): string {
    const { face, print, thinking, before } = this.#plan;
    if (this.#opened.has(choice) || before.positions > 0) return "";
    this.#opened.add(choice);
    const data = print.opening(face, choice, thinking);
    return data === undefined ? "" : this.#event({ ...this.#billing(totals), to: this.#to }, data);
  }

  /** Of several choices at once nobody could continue, nor of stand-ins: then no ids are told. */
  #idsOf(ids: readonly number[]): { ids?: readonly number[] } {
    return this.#plan.tasks.length > 1 || this.#plan.told !== undefined ? {} : { ids };
  }

  /** What the first event with data says. */
  #billing({ prompt, cached, from }: Totals): {
    prompt?: number;
    cached?: number;
    from?: number;
    weights?: string;
  } {
    if (!this.#first) return {};
    this.#first = false;
    return { prompt, cached, from, weights: this.#plan.weights };
  }
}
