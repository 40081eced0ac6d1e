/**
 * What a node works with: a station per model it serves, and what they share. One per process; the same for calls of an
 * edge and for clients of a node alone.
 */
import type { Load, ServedModel } from "@sluice/protocol/beat";
import type { Refusal } from "@sluice/protocol/refusal";
import type { Sketch } from "@sluice/protocol/sketch";
import { Outlet, OUTLET_TIMES, type OutletTimes } from "./attempt/outlet.ts";
import { Running } from "./attempt/running.ts";
import { joinSketches } from "./beat/sketch-book.ts";
import type { Engine } from "./engines/engine.ts";
import { invalid, type Refused } from "./intake/refuse.ts";
import { LoopDelay } from "./load/loop-delay.ts";
import { Measures } from "./load/measures.ts";
import { errorFields, type Log } from "./log.ts";
import { LOADING, Station, WAKE_MS_MAX, type Shared } from "./station.ts";

export type WorkshopLimits = Shared["limits"] & {
  /** Of readers; tests shorten them. */
  readonly outlet?: OutletTimes;
};

const UNREADABLE = invalid("The body could not be read.", null);

export type Sought =
  | { readonly ok: true; readonly station: Station }
  | { readonly ok: false; readonly refusal: Refusal };

export class Workshop {
  readonly running = new Running();
  readonly measures = new Measures();
  readonly loop = new LoopDelay();
  /** By model, why what the operator wants of it is not so. */
  readonly failures = new Map<string, string>();
  readonly log: Log;
  readonly now: () => number;
  readonly #limits: WorkshopLimits;
  /** By model, in the order in which they came. */
  readonly #stations = new Map<string, Station>();
  /** Models that are not there yet, or not for the moment. */
  #awaited: ReadonlySet<string> = new Set();
  /** Changes of sketches by stations coming and going. */
  #moves = 0;

  constructor(limits: WorkshopLimits, log: Log, now: () => number) {
    this.#limits = limits;
    this.log = log;
    this.now = now;
  }

  /** New calls for its model go to it from now on. Says which station did this before: what runs there goes on. */
  open(engine: Engine): Station | undefined {
    const { running, measures, log, now } = this;
    const { model } = engine.info;
    const before = this.#stations.get(model);
    this.#stations.set(model, new Station(engine, { running, measures, log, now, limits: this.#limits }));
    this.#moved(before);
    return before;
  }

  /** Takes no more calls for this model. */
  withdraw(model: string): Station | undefined {
    const station = this.#stations.get(model);
    this.#stations.delete(model);
    this.#moved(station);
    return station;
  }

  /** Calls for these are told to come back, as long as nobody serves them. */
  await(models: Iterable<string>): void {
    this.#awaited = new Set(models);
  }

  get stations(): readonly Station[] {
    return [...this.#stations.values()];
  }

  /** Who takes calls for a model, or why nobody does. */
  seek(model: string): Sought {
    const station = this.#stations.get(model);
    if (station?.engine.ready === true) return { ok: true, station };
    if (station !== undefined) return { ok: false, refusal: station.loading };
    const known = this.#awaited.has(model);
    return { ok: false, refusal: known ? LOADING : { kind: "unknown_model", model } };
  }

  get ready(): boolean {
    return this.stations.some(({ engine }) => engine.ready);
  }

  /** While none is ready: about how long until one is; undefined where that is not known. */
  get wakeMs(): number | undefined {
    const known = this.stations.flatMap(({ engine }) => engine.wakeMs?.() ?? []);
    return known.length === 0 ? undefined : Math.min(WAKE_MS_MAX, ...known);
  }

  outlet(response: ConstructorParameters<typeof Outlet>[0]): Outlet {
    return new Outlet(response, this.#limits.outlet ?? OUTLET_TIMES);
  }

  /** What a body asks. A client's body must never be what ends a node: whatever goes wrong is the body's fault first. */
  read<Wish>(parse: (body: Uint8Array) => Wish, body: Uint8Array): Wish | Refused {
    try {
      return parse(body);
    } catch (error) {
      this.log("body_unreadable", errorFields(error));
      return UNREADABLE;
    }
  }

  stop(): void {
    this.loop.stop();
  }

  /* ---- what others want to know --------------------------------------------------------------------------------- */

  /** Those that take calls, and those that say when they will again; while none does, all. */
  get models(): readonly ServedModel[] {
    const { stations } = this;
    const ready = stations.filter(({ engine }) => engine.ready || engine.wakeMs?.() !== undefined);
    const alone = stations.length === 1;
    return (ready.length > 0 ? ready : stations).map(({ served, load }) =>
      alone ? served : { ...served, load },
    );
  }

  /** Of all models together; a speed is the mean of those that were measured. */
  get load(): Load {
    const loads = this.stations.map(({ load }) => load);
    const sum = (of: (load: Load) => number): number => loads.reduce((total, load) => total + of(load), 0);
    const mean = (of: (load: Load) => number): number => {
      const measured = loads.map(of).filter((speed) => speed > 0);
      return measured.reduce((total, speed) => total + speed, 0) / Math.max(1, measured.length);
    };
    return {
      slots: sum(({ slots }) => slots),
      slotsBusy: sum(({ slotsBusy }) => slotsBusy),
      queued: sum(({ queued }) => queued),
      queueMax: sum(({ queueMax }) => queueMax),
      prefillTokensPending: sum(({ prefillTokensPending }) => prefillTokensPending),
      prefillTokensPerS: mean(({ prefillTokensPerS }) => prefillTokensPerS),
      decodeTokensPerS: mean(({ decodeTokensPerS }) => decodeTokensPerS),
      kvTokensFree: sum(({ kvTokensFree }) => kvTokensFree),
      ...(loads.some(({ ownOnly }) => ownOnly === true) ? { ownOnly: true } : {}),
    };
  }

  /** Memory that looks free and holds weights that are being served. */
  get mappedBytes(): number {
    return this.stations.reduce((sum, { engine }) => sum + (engine.mappedBytes?.() ?? 0), 0);
  }

  get sketch(): Sketch {
    return joinSketches(this.stations.map(({ sketchBook }) => sketchBook));
  }

  /** Rises with every change of the sketch. */
  get sketchVersion(): number {
    return this.stations.reduce((sum, { sketchBook }) => sum + sketchBook.version, this.#moves);
  }

  /** The version must not fall when a book leaves, nor be what it was before. */
  #moved(left: Station | undefined): void {
    if (left !== undefined) this.#moves += left.sketchBook.version + 1;
  }
}
