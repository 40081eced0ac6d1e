/**
 * The models of a node, from what the operator wants to stations that serve: opened one after the other, so that each is
 * checked against the memory that those before it have taken; changed on a reload, one at a time.
 *
 * A reload never costs a stream that could have gone on. New weights are opened beside the old, new calls go to them, and
 * what runs on the old ends there; where the memory is not there for both, that model's calls are sent elsewhere, its
 * streams end or are moved on after the drain's time, and then the new is opened in its place. What cannot be opened
 * leaves the old one serving, and the log and /health say why. Of a bad file nothing is lost: it is looked through
 * before anything is drained.
 */
import type { Engine } from "./engines/engine.ts";
import { EngineFault } from "./engines/engine.ts";
import { errorFields, type Log } from "./log.ts";
import type { EngineChoice } from "./model-config.ts";
import type { Station } from "./station.ts";
import type { Workshop } from "./workshop.ts";

export type LineupTools = {
  readonly workshop: Workshop;
  readonly open: (choice: EngineChoice) => Promise<Engine>;
  /** The digest of what lies on disk now; undefined where it cannot be told without opening it. */
  readonly digest: (choice: EngineChoice) => Promise<string | undefined>;
  /** What is served has changed. */
  readonly told: () => void;
  readonly drainMs: number;
  readonly log: Log;
};

export class Lineup {
  readonly #tools: LineupTools;
  /** What each model that is served was opened with. */
  readonly #serving = new Map<string, EngineChoice>();
  #changing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(tools: LineupTools) {
    this.#tools = tools;
  }

  /** Opens all of them; one that cannot be opened keeps no other from serving. Throws where there is none that can. */
  async start(choices: readonly EngineChoice[]): Promise<void> {
    this.#tools.workshop.await(choices.map(({ modelId }) => modelId));
    let first: unknown;
    for (const choice of choices) {
      try {
        await this.#open(choice);
      } catch (error) {
        first ??= error;
        this.#fail(choice.modelId, error);
      }
      if (this.#closed) return;
    }
    if (this.#serving.size === 0) throw first;
    this.#awaitServed();
  }

  /** Brings what is served to what is wanted now. Never rejects; one at a time, in the order in which they were asked. */
  reload(choices: readonly EngineChoice[]): Promise<void> {
    this.#changing = this.#changing.then(() => this.#reload(choices));
    return this.#changing;
  }

  /** Nothing is opened any more. */
  close(): void {
    this.#closed = true;
  }

  async #reload(choices: readonly EngineChoice[]): Promise<void> {
    const { workshop, log } = this.#tools;
    workshop.failures.clear();
    const wanted = new Set(choices.map(({ modelId }) => modelId));
    workshop.await([...wanted, ...this.#serving.keys()]);
    for (const model of this.#serving.keys()) if (!wanted.has(model)) await this.#remove(model);
    for (const choice of choices) {
      if (this.#closed) return;
      const { modelId: model } = choice;
      try {
        if (!this.#serving.has(model)) await this.#open(choice);
        else if (await this.#hasChanged(choice)) await this.#replace(choice);
        else log("model_unchanged", { model });
      } catch (error) {
        this.#fail(model, error);
      }
    }
    this.#awaitServed();
  }

  async #hasChanged(choice: EngineChoice): Promise<boolean> {
    const { workshop, digest } = this.#tools;
    const known = this.#serving.get(choice.modelId);
    if (JSON.stringify(known) !== JSON.stringify(choice)) return true;
    const now = await digest(choice);
    const station = workshop.stations.find(({ model }) => model === choice.modelId);
    return now !== undefined && now !== station?.weights;
  }

  async #open(choice: EngineChoice): Promise<void> {
    await this.#put(choice, await this.#tools.open(choice));
  }

  /** Serves it from now on; what ran on what was there before ends there. */
  async #put(choice: EngineChoice, engine: Engine): Promise<void> {
    const { workshop, log, told } = this.#tools;
    if (this.#closed) return engine.close();
    const before = workshop.open(engine);
    this.#serving.set(choice.modelId, choice);
    const { model, weights, slots, contextTokens, backend } = engine.info;
    log("engine_ready", { model, weights, slots, contextTokens, backend });
    told();
    if (before !== undefined) await this.#retire(before);
  }

  async #replace(choice: EngineChoice): Promise<void> {
    const { open, workshop, log, told } = this.#tools;
    let engine: Engine;
    try {
      engine = await open(choice);
    } catch (error) {
      if (!(error instanceof EngineFault) || error.kind !== "no_memory") throw error;
      // No room for both: the old one has to go first.
      log("model_drained_for_reload", { model: choice.modelId, ...errorFields(error) });
      const before = workshop.withdraw(choice.modelId);
      told();
      if (before !== undefined) await this.#retire(before);
      engine = await this.#openOrGoBack(choice);
    }
    await this.#put(choice, engine);
  }

  /** The old one is gone: where the new one cannot be opened after all, what was there before is better than nothing. */
  async #openOrGoBack(choice: EngineChoice): Promise<Engine> {
    const { open } = this.#tools;
    const before = this.#serving.get(choice.modelId);
    this.#serving.delete(choice.modelId);
    try {
      return await open(choice);
    } catch (error) {
      if (before !== undefined) {
        const engine = await open(before).catch(() => undefined);
        if (engine !== undefined) await this.#put(before, engine);
      }
      throw error;
    }
  }

  async #remove(model: string): Promise<void> {
    const station = this.#tools.workshop.withdraw(model);
    this.#serving.delete(model);
    this.#tools.told();
    this.#tools.log("model_removed", { model });
    if (station !== undefined) await this.#retire(station);
  }

  /** Lets what runs there end; after the drain's time it is told to go on elsewhere. */
  async #retire(station: Station): Promise<void> {
    const { workshop, drainMs, log } = this.#tools;
    const timer = setTimeout(() => workshop.running.stopAll("drained", station), drainMs);
    // Who has a place and has not begun yet begins there.
    await station.scheduler.quiet();
    await workshop.running.empty(station);
    clearTimeout(timer);
    await station.close();
    log("engine_closed", { model: station.model, weights: station.weights });
  }

  #fail(model: string, error: unknown): void {
    const { message = String(error) } = error instanceof Error ? error : {};
    this.#tools.workshop.failures.set(model, message);
    this.#tools.log("model_refused", { model, ...errorFields(error) });
  }

  #awaitServed(): void {
    this.#tools.workshop.await(this.#serving.keys());
  }
}
