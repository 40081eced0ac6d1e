/**
 * One task's answer, read off the server leg by leg, as the events every engine gives. What is counted is what is handed
 * over: a server that goes on for a token or two behind the cut of a leg has worked for nothing.
 */
import { EngineFault } from "../engine.ts";
import type { EngineEvent, Task, Token } from "../engine.ts";
import { nextLeg } from "./legs.ts";
import type { Place } from "./places.ts";
import { isErrorEvent, type Leg, type Part, type Server } from "./server.ts";
import { type Shown, TokenReader } from "./token-reader.ts";
import { UnfinishedAnswer, type Wire } from "./wire.ts";
import type { Words } from "./words.ts";

export type AnswerTools = {
  readonly wire: Wire;
  readonly server: Server;
  readonly model: string;
  readonly words: Words;
  /** Opens a section of tools; undefined where the model has none. */
  readonly sectionOpen: number | undefined;
};

type Turns = (id: number, count: number) => boolean;
/** Undefined: the next leg follows. */
type LegEnd = "stop" | "length" | undefined;

export class Answer {
  readonly #tools: AnswerTools;
  readonly #task: Task;
  readonly #place: Place;
  readonly #stop: AbortSignal;
  /** Every token of the answer, the delivered ones included. */
  readonly #ids: number[];
  #left: number;
  #started = false;
  #cached: number | undefined;

  constructor(tools: AnswerTools, task: Task, place: Place, stop: AbortSignal) {
    this.#tools = tools;
    this.#task = task;
    this.#place = place;
    this.#stop = stop;
    this.#ids = [...task.delivered];
    this.#left = task.outputTokensMax;
  }

  async *events(): AsyncGenerator<EngineEvent, void, void> {
    const { words, server, sectionOpen } = this.#tools;
    const reading = { words, notation: server.notation, sectionOpen };
    let end: LegEnd;
    while (end === undefined) {
      const next = nextLeg(this.#task, this.#ids, this.#left, reading);
      if (next.do === "say") {
        yield* this.#tokens([{ id: next.id }]);
        if (words.endTokens.includes(next.id)) end = "stop";
      } else {
        end = yield* this.#ask(next.leg, next.turns);
      }
      if (this.#left <= 0) end ??= "length";
    }
    if (!this.#started) yield this.#start(0);
    yield { kind: "end", why: end };
  }

  async *#ask(leg: Leg, turns: Turns): AsyncGenerator<EngineEvent, LegEnd, void> {
    const { wire, server, model, words } = this.#tools;
    const { path, body } = server.generate(model, leg, this.#place.spot());
    const read = server.reader();
    const reader = new TokenReader(words, leg.tokensMax);
    const isFirst = !this.#started;
    const leaving = new AbortController();
    let end: "stop" | "length" | undefined;
    try {
      for await (const event of wire.events(path, body, AbortSignal.any([this.#stop, leaving.signal]))) {
        const part: Part = isErrorEvent(event) ? { gaveUp: true } : read(event);
        if (part.gaveUp === true) throw new EngineFault("failed", "The server gave this task up.");
        if (end !== undefined) {
          if (isFirst && part.cached !== undefined) yield* this.#count(part.cached);
          continue;
        }
        const counted = reader.count;
        const fresh = reader.take(part);
        if (!this.#started && (part.cached !== undefined || fresh.length > 0))
          yield this.#start(part.cached ?? 0);
        if (isFirst && part.evaluated !== undefined)
          yield { kind: "evaluated", promptTokens: Math.min(part.evaluated, this.#task.prompt.length) };
        const turn = fresh.findIndex(({ id }, at) => turns(id, counted + at + 1));
        yield* this.#tokens(turn < 0 ? fresh : fresh.slice(0, turn + 1));
        // The tokens behind a turn were made for nothing.
        if (turn >= 0) return undefined;
        if (part.end === undefined && !reader.over) continue;
        end = reader.stopped ? "stop" : "length";
        if (part.end === undefined || !server.tellsBehindEnd) return end;
      }
    } finally {
      leaving.abort();
    }
    if (end === undefined) throw new UnfinishedAnswer();
    return end;
  }

  *#tokens(shown: readonly Shown[]): Generator<EngineEvent, void, void> {
    if (shown.length === 0) return;
    if (!this.#started) yield this.#start(0);
    if (this.#ids.length === this.#task.delivered.length)
      yield { kind: "evaluated", promptTokens: this.#task.prompt.length };
    this.#ids.push(...shown.map(({ id }) => id));
    this.#left -= shown.length;
    yield { kind: "tokens", tokens: shown.map((token) => this.#token(token)) };
  }

  #start(cached: number): EngineEvent {
    this.#started = true;
    this.#place.began();
    this.#cached = Math.min(cached, this.#task.prompt.length);
    return { kind: "started", cached: this.#cached };
  }

  *#count(told: number): Generator<EngineEvent, void, void> {
    const cached = Math.min(told, this.#task.prompt.length);
    if (cached !== this.#cached) yield { kind: "counted", cached };
  }

  #token({ id, weight }: Shown): Token {
    const bytes = this.#bytesOf(id);
    if (weight === undefined) return { id, bytes };
    const top = weight.top.map(
      ([each, logprob]) => [{ id: each, bytes: this.#bytesOf(each) }, logprob] as const,
    );
    return { id, bytes, logprobs: { own: weight.own, top: top.slice(0, this.#task.logprobs) } };
  }

  #bytesOf(id: number): Uint8Array {
    return this.#tools.words.vocabulary.bytesOf(id) ?? new Uint8Array();
  }
}
