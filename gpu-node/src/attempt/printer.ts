/**
 * One attempt's answer as the bytes that are written: which events, in which order, with which notes. Keeps only what
 * has been printed already (the first event says what will be billed, once; the role is told once) and, where the answer
 * is not streamed, its text so far. Writes nothing itself.
 */
import type { Ending } from "@sluice/protocol/receipt";
import type { Piece } from "../answer/gather.ts";
import {
  DONE,
  printDelta,
  printFinish,
  printRole,
  printUsageChunk,
  printWhole,
  type FinishReason,
  type Usage,
} from "../print/openai-chat.ts";
import { withNote, withoutNote, type PrintEvent } from "../print/events.ts";
import { FAILED_ERROR } from "../print/refusals.ts";
import type { Plan } from "./plan.ts";

/** What is known once the first token is there, and what was counted. */
export type Totals = Usage & { readonly from: number };

export class Printer {
  readonly #plan: Plan;
  readonly #event: PrintEvent;
  #first = true;
  #to: number;
  #content = "";
  #reasoning = "";
  readonly #ids: number[] = [];

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#event = plan.notes ? withNote : withoutNote;
    this.#to = plan.before.positions;
  }

  /** The events of a stream for these pieces. */
  pieces(pieces: readonly Piece[], totals: Totals): string {
    const { face } = this.#plan;
    let text = this.#opening(totals);
    for (const piece of pieces) {
      const note = { ...this.#billing(totals), to: piece.to, ids: piece.ids };
      text += this.#event(note, printDelta(face, piece.channel, piece.text));
      this.#to = piece.to;
    }
    return text;
  }

  /** The last events of a stream that ended naturally; `ids` are the positions no piece took along. */
  finish(reason: FinishReason, ids: readonly number[], totals: Totals): string {
    const { face, before } = this.#plan;
    this.#to += ids.length;
    const to = this.#to;
    let text = this.#opening(totals);
    // Whoever has the end token was told why with it: it came in that very event.
    if (!before.stopped)
      text += this.#event({ ...this.#billing(totals), to, ids }, printFinish(face, reason));
    if (face.includeUsage)
      text += this.#event({ ...this.#billing(totals), to }, printUsageChunk(face, totals));
    const last = { ...this.#billing(totals), to, reasoning: totals.reasoning, ended: reason };
    return text + this.#event(last, DONE);
  }

  /** Keeps the text of an answer that is sent whole. */
  keep(pieces: readonly Piece[], ids: readonly number[]): void {
    for (const { channel, text } of pieces)
      if (channel === "content") this.#content += text;
      else this.#reasoning += text;
    this.#ids.push(...ids);
    this.#to += ids.length;
  }

  /** A whole answer's JSON, and the one event it is for an edge. */
  whole(reason: FinishReason, totals: Totals): string {
    const { face, thinking, notes, weights } = this.#plan;
    const reasoning = thinking || this.#reasoning !== "" ? this.#reasoning : undefined;
    const json = printWhole(face, { reasoning, content: this.#content }, reason, totals);
    if (!notes) return json;
    const { prompt, cached, from } = totals;
    const note = { prompt, cached, from, to: this.#to, ids: this.#ids, ended: reason, weights };
    return this.#event(note, json);
  }

  /** What says that an attempt failed, and after which nothing comes: to an edge a note, to others an error. */
  failed(ended: Ending): string {
    const { notes, stream } = this.#plan;
    if (notes) return this.#event({ to: this.#to, ended });
    return stream ? this.#event({}, FAILED_ERROR) : FAILED_ERROR;
  }

  #opening(totals: Totals): string {
    const { face, thinking, before } = this.#plan;
    if (!this.#first || before.positions > 0) return "";
    return this.#event({ ...this.#billing(totals), to: 0 }, printRole(face, thinking));
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
