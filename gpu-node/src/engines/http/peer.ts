/**
 * The server this engine fronts, as a party that can be there or not: what it says of itself, what it has proved to do, and
 * whether it is well. A lost connection is its death, for everything that runs there; an answer that says it failed is the
 * failure of one task, and a reason to ask whether it is well. It is not ready again until it is healthy and still serves
 * the same model.
 */
import { setTimeout as delay } from "node:timers/promises";
import { EngineFault, type Opening } from "../engine.ts";
import { wakeMsOf } from "../wake-time.ts";
import { judge } from "./faults.ts";
import { Wire, WireError } from "./wire.ts";

const HEALTH_POLL_MS = 250;
/** One that is well and has proved unfit is not made to prove it all the time. */
const UNFIT_POLL_MS = 10_000;
/** A server that is asked whether it is well may be slow to say so. */
const DOUBTS_MAX = 3;
/** As vLLM, SGLang and llama-server say it at /health. */
const UNWELL = 503;
/** Loading hundreds of gigabytes takes its time. */
const START_WITHIN_MS = 60 * 60_000;

/** The server is there, and cannot be fronted as it is; the message says what it lacks and what gives it that. */
export class Unfit extends Error {
  override readonly name = "Unfit";
}

export type PeerOptions = {
  readonly url: URL;
  readonly key?: string;
  readonly opening?: Opening;
  readonly log?: (line: string) => void;
};

/** What this kind of server is asked. */
export type Manners<Known extends { readonly model: string }> = {
  readonly name: string;
  readonly healthPath: string;
  /** That address is for nothing else: a 503 says that it is not well, where it says elsewhere that there is no room. */
  readonly tellsHealth: boolean;
  /** What it says of itself and proves; throws where it cannot be used as it is. */
  readonly learn: (wire: Wire) => Promise<Known>;
  /** It is there, with nothing of ours in it. */
  readonly onReady: (known: Known) => void;
};

export class Peer<Known extends { readonly model: string }> {
  readonly wire: Wire;
  readonly #manners: Manners<Known>;
  readonly #options: PeerOptions;
  readonly #closing = new AbortController();
  readonly #running = new Set<AbortController>();
  #known: Known | undefined;
  #ready = false;
  #doubting = false;
  /**
   * Since when it is waited for, and how long it took to come back the last time. Its first start is no measure: that is as long
   * as its operator left it unstarted.
   */
  #awaitedSinceMs = 0;
  #awaitedMs: number | undefined;

  constructor(manners: Manners<Known>, options: PeerOptions) {
    this.#manners = manners;
    this.#options = options;
    this.wire = new Wire(options.url, options.key);
  }

  /** Throws EngineFault("bad_model") where the server cannot be used by then; with the signal's reason, soon after it. */
  async start(withinMs = START_WITHIN_MS): Promise<void> {
    const { url, opening: { signal, waiting } = {} } = this.#options;
    signal?.throwIfAborted();
    const left = Promise.withResolvers<never>();
    const leave = (): void => {
      this.close();
      left.reject(signal?.reason);
    };
    signal?.addEventListener("abort", leave, { once: true });
    // Raced: a server that takes a question and is silent would hold up who leaves.
    const ready = this.#becomeReady(performance.now() + withinMs, waiting);
    const why = await Promise.race([ready, left.promise]).finally(() =>
      signal?.removeEventListener("abort", leave),
    );
    if (why === undefined) return;
    this.wire.close();
    throw new EngineFault("bad_model", `${url.href} cannot be used as ${this.#manners.name}: ${why}`);
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** While it is not ready: about how long until it is; undefined where it never came back before. */
  get wakeMs(): number | undefined {
    if (this.#ready || this.#closing.signal.aborted) return undefined;
    return wakeMsOf(this.#awaitedSinceMs, this.#awaitedMs, performance.now());
  }

  /** As of the last time it became ready. */
  get known(): Known | undefined {
    return this.#known;
  }

  /** The name it wants in requests. */
  get model(): string {
    return this.#known?.model ?? "";
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
    const { fault, server, tell } = judge(error, this.#manners.name);
    if (tell !== undefined) this.#options.log?.(tell);
    if (server === "lost" && this.#ready) this.#mourn(fault.message);
    if (server === "doubtful") void this.#doubt();
    return fault;
  }

  /** It answered that something is wrong: is it well? */
  async #doubt(): Promise<void> {
    if (this.#doubting || !this.#ready) return;
    this.#doubting = true;
    let reason: string | undefined;
    for (let asked = 0; asked < DOUBTS_MAX && this.#ready; asked++) {
      reason = await this.#ailment();
      if (reason === undefined) break;
      await delay(HEALTH_POLL_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
    this.#doubting = false;
    if (this.#ready && reason !== undefined) this.#mourn(reason);
  }

  /** Undefined where it is well, or there and too busy to say so. */
  async #ailment(): Promise<string | undefined> {
    const { healthPath, tellsHealth } = this.#manners;
    try {
      await this.wire.get(healthPath);
      return undefined;
    } catch (error) {
      if (error instanceof WireError && error.isLater && !(tellsHealth && error.status === UNWELL))
        return undefined;
      return error instanceof Error ? error.message : String(error);
    }
  }

  #mourn(reason: string): void {
    this.#ready = false;
    const { name } = this.#manners;
    this.#options.log?.(`${name} is lost (${reason}); waiting for it to come back`);
    for (const running of this.#running) running.abort(new EngineFault("engine_died", `${name} is lost.`));
    void this.#comeBack();
  }

  async #comeBack(): Promise<void> {
    const why = await this.#becomeReady(Number.POSITIVE_INFINITY);
    if (why === undefined) this.#options.log?.(`${this.#manners.name} is back`);
  }

  /** Polls until the server answers; resolves with the reason where it did not in time. */
  async #becomeReady(untilMs: number, waiting?: Opening["waiting"]): Promise<string | undefined> {
    let reason = "nobody has asked it";
    let told = "";
    let waited = false;
    const comesBack = this.#known !== undefined;
    let pollMs = HEALTH_POLL_MS;
    this.#awaitedSinceMs = performance.now();
    while (!this.#closing.signal.aborted) {
      try {
        await this.#learn();
        if (waited && comesBack) this.#awaitedMs = performance.now() - this.#awaitedSinceMs;
        return undefined;
      } catch (error) {
        waited = true;
        pollMs = error instanceof Unfit ? UNFIT_POLL_MS : HEALTH_POLL_MS;
        reason = error instanceof Error ? error.message : String(error);
        if (reason !== told && !this.#closing.signal.aborted) {
          const why = `waiting for ${this.#manners.name}: ${reason}`;
          this.#options.log?.(why);
          waiting?.(why);
        }
        told = reason;
      }
      if (performance.now() >= untilMs) return reason;
      const restMs = Math.max(0, untilMs - performance.now());
      await delay(Math.min(pollMs, restMs), undefined, { signal: this.#closing.signal }).catch(
        () => undefined,
      );
    }
    return reason;
  }

  async #learn(): Promise<void> {
    const { healthPath, learn, onReady } = this.#manners;
    await this.wire.get(healthPath);
    const known = await learn(this.wire);
    this.#closing.signal.throwIfAborted();
    if (this.#known !== undefined && known.model !== this.#known.model)
      throw new Error(`it serves ${known.model} now, and not ${this.#known.model}`);
    this.#known = known;
    onReady(known);
    this.#ready = true;
  }
}
