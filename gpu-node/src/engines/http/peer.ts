/**
 * The server this engine fronts, as a party that can be there or not: what it says of itself, what it has proved to do, and
 * whether it is well. A lost connection is its death, for everything that runs there; an answer that says it failed is the
 * failure of one task, and a reason to ask whether it is well. It is not ready again until it is healthy and still serves
 * the same model.
 */
import { setTimeout as delay } from "node:timers/promises";
import { EngineFault } from "../engine.ts";
import { judge } from "./faults.ts";
import { prove, type Proven } from "./proof.ts";
import type { Server, ServerFacts } from "./server.ts";
import { Wire } from "./wire.ts";
import type { Words } from "./words.ts";

const HEALTH_POLL_MS = 250;
/** A server that is asked whether it is well may be slow to say so. */
const DOUBTS_MAX = 3;

export type PeerOptions = {
  readonly url: URL;
  readonly key?: string;
  readonly log?: (line: string) => void;
};

export class Peer {
  readonly wire: Wire;
  readonly #server: Server;
  readonly #words: Words;
  readonly #options: PeerOptions;
  /** Its slots are empty now, and so many. */
  readonly #onReady: (slots: number) => void;
  readonly #closing = new AbortController();
  readonly #running = new Set<AbortController>();
  #facts: ServerFacts | undefined;
  #proven: Proven = { grammar: false, cached: false };
  #ready = false;
  #doubting = false;

  constructor(server: Server, words: Words, options: PeerOptions, onReady: (slots: number) => void) {
    this.#server = server;
    this.#words = words;
    this.#options = options;
    this.#onReady = onReady;
    this.wire = new Wire(options.url, options.key);
  }

  /** Resolves with why the server cannot be used, where it cannot be by then. */
  async start(withinMs: number): Promise<string | undefined> {
    const why = await this.#becomeReady(performance.now() + withinMs);
    if (why !== undefined) this.wire.close();
    return why;
  }

  get ready(): boolean {
    return this.#ready;
  }

  get facts(): ServerFacts | undefined {
    return this.#facts;
  }

  get proven(): Proven {
    return this.#proven;
  }

  /** The name it wants in requests. */
  get model(): string {
    return this.#facts?.model ?? "";
  }

  close(): void {
    this.#ready = false;
    this.#closing.abort(new EngineFault("engine_died", "The engine was closed."));
    this.wire.close();
  }

  /** Runs what talks to the server; `stop` ends it when the caller leaves, the server is lost, or the engine closes. */
  async *during<Event>(
    signal: AbortSignal,
    work: (stop: AbortSignal) => AsyncGenerator<Event, void, void>,
  ): AsyncGenerator<Event, void, void> {
    const own = new AbortController();
    const stop = AbortSignal.any([signal, own.signal, this.#closing.signal]);
    this.#running.add(own);
    try {
      yield* work(stop);
    } catch (error) {
      signal.throwIfAborted();
      // Lost with the others, which was mourned already: the server may be back since.
      stop.throwIfAborted();
      throw this.explain(error);
    } finally {
      this.#running.delete(own);
      // A caller that simply stops reading has left, too.
      own.abort();
    }
  }

  /** What the caller is told; what follows from it for the server, follows. */
  explain(error: unknown): EngineFault {
    const { fault, server, tell } = judge(error, this.#server.name);
    if (tell !== undefined) this.#options.log?.(tell);
    if (server === "lost" && this.#ready) this.#mourn(fault.message);
    if (server === "doubtful") void this.#doubt();
    return fault;
  }

  /** It answered that something is wrong: is it well? */
  async #doubt(): Promise<void> {
    if (this.#doubting || !this.#ready) return;
    this.#doubting = true;
    let reason = "";
    for (let asked = 0; asked < DOUBTS_MAX && this.#ready; asked++) {
      try {
        await this.wire.get("/health");
        this.#doubting = false;
        return;
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
      }
      await delay(HEALTH_POLL_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
    this.#doubting = false;
    if (this.#ready) this.#mourn(reason);
  }

  #mourn(reason: string): void {
    this.#ready = false;
    const { name } = this.#server;
    this.#options.log?.(`${name} is lost (${reason}); waiting for it to come back`);
    for (const running of this.#running) running.abort(new EngineFault("engine_died", `${name} is lost.`));
    void this.#comeBack();
  }

  async #comeBack(): Promise<void> {
    const why = await this.#becomeReady(Number.POSITIVE_INFINITY);
    if (why === undefined) this.#options.log?.(`${this.#server.name} is back`);
  }

  /** Polls until the server answers; resolves with the reason where it did not in time. */
  async #becomeReady(untilMs: number): Promise<string | undefined> {
    let reason = "nobody has asked it";
    let told = "";
    while (!this.#closing.signal.aborted) {
      try {
        await this.#learn();
        return undefined;
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
        if (reason !== told) this.#options.log?.(`waiting for ${this.#server.name}: ${reason}`);
        told = reason;
      }
      if (performance.now() >= untilMs) return reason;
      await delay(HEALTH_POLL_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
    return reason;
  }

  async #learn(): Promise<void> {
    await this.wire.get("/health");
    const answers = await Promise.all(this.#server.factPaths.map((path) => this.wire.get(path)));
    const facts = this.#server.facts(answers.map((text): unknown => JSON.parse(text)));
    if (this.#facts !== undefined && facts.model !== this.#facts.model)
      throw new Error(`it serves ${facts.model} now, and not ${this.#facts.model}`);
    this.#proven = await prove(this.wire, this.#server, facts.model, this.#words);
    if (!this.#proven.grammar)
      this.#options.log?.(`${this.#server.name} does not bind answers by tokens: formats are not offered`);
    this.#facts = facts;
    this.#onReady(facts.slots ?? 0);
    this.#ready = true;
  }
}
