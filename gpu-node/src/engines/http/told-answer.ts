/**
 * One answer of a server that shows no tokens, from what its stream says to the events every engine gives: what of it is within the
 * ceiling, how it ended, and which of the server's counts stands. Only pieces of text are held against the ceiling: the marks
 * around them are this node's own, and no server counts them so. Pure; one per answer.
 */
import type { EngineEvent, Token } from "../engine.ts";
import type { TextPart } from "./openai.ts";
import { StandIns, TEXT } from "./stand-ins.ts";
import { UnfinishedAnswer } from "./wire.ts";

/** Events with text behind the ceiling: one may be a token told in two pieces; who sends more does not keep to it, and is left. */
const EXCESS_MAX = 2;

export class ToldAnswer {
  readonly #standIns = new StandIns();
  readonly #promptTokens: number;
  readonly #piecesMax: number;
  #begun = false;
  #pieces = 0;
  #excess = 0;
  /** As the server says. */
  #finish: TextPart["end"];
  /** Which of its counts stand: of all of the answer, of the part so far, or none. */
  #counts: "whole" | "part" | undefined;
  #cached = 0;

  constructor(promptTokens: number, outputTokensMax: number) {
    this.#promptTokens = promptTokens;
    this.#piecesMax = outputTokensMax;
  }

  /** Nothing that is wanted is to come: usage comes with the finish or behind it, and then nothing. */
  get over(): boolean {
    return this.#excess >= EXCESS_MAX || this.#counts === "whole";
  }

  *read(part: TextPart): Generator<EngineEvent, void, void> {
    const tokens = this.#finish === undefined ? this.#within(this.#standIns.read(part)) : [];
    this.#finish ??= part.end;
    const counts = this.#countsIn(part, tokens);
    if (tokens.length > 0) yield* this.#begin();
    yield* counts;
    if (tokens.length > 0) yield { kind: "tokens", tokens };
  }

  /** Throws where the stream has ended and the answer has not. */
  *end(): Generator<EngineEvent, void, void> {
    const full = this.#pieces >= this.#piecesMax ? "length" : undefined;
    const why = this.#excess > 0 ? "length" : (this.#finish ?? full);
    if (why === undefined) throw new UnfinishedAnswer();
    yield* this.#begin();
    if (this.#counts === "part") yield this.#uncounted();
    yield { kind: "end", why };
  }

  /** What is behind the first piece too many is not of the answer. */
  #within(tokens: readonly Token[]): readonly Token[] {
    const room = this.#piecesMax - this.#pieces;
    const texts = tokens.flatMap(({ id }, at) => (id === TEXT ? [at] : []));
    const wasOver = this.#excess > 0;
    if (texts.length > room) this.#excess += 1;
    this.#pieces += Math.min(room, texts.length);
    return wasOver ? [] : tokens.slice(0, texts[room]);
  }

  /**
   * Counts of an answer are those told with its finish or behind it. Earlier ones are of a part: they stand while no text
   * follows them, for an answer that breaks off there. And none stand that cannot be: each prompt has tokens, and so has text.
   */
  #countsIn({ counted }: TextPart, tokens: readonly Token[]): readonly EngineEvent[] {
    if (counted !== undefined && counted.prompt > 0 && (counted.positions > 0 || this.#pieces === 0)) {
      this.#counts = this.#finish === undefined ? "part" : "whole";
      this.#cached = counted.cached;
      return [{ kind: "counted", cached: counted.cached, told: counted }];
    }
    if (this.#counts !== "part" || !tokens.some(({ id }) => id === TEXT)) return [];
    return [this.#uncounted()];
  }

  /** What was told stands no longer. */
  #uncounted(): EngineEvent {
    this.#counts = undefined;
    return { kind: "counted", cached: this.#cached };
  }

  *#begin(): Generator<EngineEvent, void, void> {
    if (this.#begun) return;
    this.#begun = true;
    yield { kind: "started", cached: Math.min(this.#cached, this.#promptTokens) };
    yield { kind: "evaluated", promptTokens: this.#promptTokens };
  }
}
