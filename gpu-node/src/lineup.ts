/**
 * The models of a node, from what the operator wants to stations that serve. What is loaded into this machine's memory is opened one after
 * the other, so that each is checked against the memory that those before it have taken; servers elsewhere are waited for side by side
 * with that, and hold nobody up. One change at a time: a newer one ends the waiting of the one before and comes after it.
 *
 * A reload never costs a stream that could have gone on. New weights are opened beside the old, new calls go to them, and
 * what runs on the old ends there; where the memory is not there for both, that model's calls are sent elsewhere, its
 * streams end or are moved on after the drain's time, and then the new is opened in its place. What cannot be opened
 * leaves the old one serving, and the log and /health say why. Of a bad file nothing is lost: it is looked through
 * before anything is drained. Models that are not wanted any more go last, or where their memory is needed; and they stay where
 * nothing of what is wanted can be served.
 */
import type { News } from "./control/news.ts";
import type { Engine, Opening } from "./engines/engine.ts";
import { EngineFault } from "./engines/engine.ts";
import { errorFields, type Log } from "./log.ts";
import type { EngineChoice } from "./model-config.ts";
import type { Station } from "./station.ts";
import type { Workshop } from "./workshop.ts";

export type LineupTools = {
  readonly workshop: Workshop;
  /** Rejects soon after the signal where it only waits for somebody; a load into memory may go on to its end. */
  readonly open: (choice: EngineChoice, opening: Opening) => Promise<Engine>;
  /** The digest of what lies on disk now; undefined where it cannot be told without opening it. */
  readonly digest: (choice: EngineChoice) => Promise<string | undefined>;
  /** What is served has changed. */
  readonly told: () => void;
  readonly drainMs: number;
  readonly log: Log;
};

/** One change of what is served. */
type Change = {
  readonly choices: readonly EngineChoice[];
  readonly wanted: ReadonlySet<string>;
  /** A newer change waits, or the node stops. */
  readonly superseded: AbortSignal;
  /** Why models could not be opened, in the order in which that was seen. */
  readonly errors: unknown[];
  /** Whoever asked for it hears what becomes of each model. */
  readonly tell: (news: News) => void;
};

const nobody = (): void => undefined;

export class Lineup {
  readonly #tools: LineupTools;
  /** What each model that is served was opened with. */
  readonly #serving = new Map<string, EngineChoice>();
  #changing: Promise<void> = Promise.resolve();
  #newest = new AbortController();
  #closed = false;

  constructor(tools: LineupTools) {
    this.#tools = tools;
  }

  /**
   * Opens all of them; one that cannot be opened keeps no other from serving. Throws where there is none that can, unless a reload
   * has come by then: what is wanted now is that one's affair.
   */
  async start(choices: readonly EngineChoice[]): Promise<void> {
    const { superseded, errors } = await this.#change(choices);
    if (this.#serving.size === 0 && errors.length > 0 && !superseded.aborted) throw errors[0];
  }

  /** Brings what is served to what is wanted now. Never rejects; one at a time, in the order in which they were asked. */
  async reload(
    choices: readonly EngineChoice[],
    tell: (news: News) => void = nobody,
  ): Promise<"done" | "superseded"> {
    const { superseded } = await this.#change(choices, tell);
    return superseded.aborted ? "superseded" : "done";
  }

  /** Nothing is opened any more. */
  close(): void {
    this.#closed = true;
    this.#newest.abort();
  }

  /** Never rejects. Resolves with the change when it is made, or has been left for a newer one. */
  async #change(choices: readonly EngineChoice[], tell: Change["tell"] = nobody): Promise<Change> {
    this.#newest.abort();
    this.#newest = new AbortController();
    const wanted = new Set(choices.map(({ modelId }) => modelId));
    const change: Change = { choices, wanted, superseded: this.#newest.signal, errors: [], tell };
    this.#tools.workshop.await([...wanted, ...this.#serving.keys()]);
    this.#changing = this.#changing.then(() => this.#make(change));
    await this.#changing;
    return change;
  }

  async #make(change: Change): Promise<void> {
    const { choices, superseded } = change;
    if (this.#closed) return;
    this.#tools.workshop.failures.clear();
    const isElsewhere = ({ kind }: EngineChoice): boolean => kind === "http";
    const here = this.#bringHere(
      choices.filter((choice) => !isElsewhere(choice)),
      change,
    );
    const elsewhere = choices.filter(isElsewhere).map((choice) => this.#bring(choice, change));
    // Who has not come yet holds up nobody's leaving, once something that is wanted serves.
    const steps = [here, ...elsewhere.map((brought) => Promise.all([here, brought]))];
    await Promise.all(steps.map((step) => step.then(() => this.#removeUnwanted(change))));
    if (!superseded.aborted) this.#tools.workshop.await(this.#serving.keys());
  }

  async #bringHere(choices: readonly EngineChoice[], change: Change): Promise<void> {
    for (const choice of choices) await this.#bring(choice, change);
  }

  /** Never rejects. */
  async #bring(choice: EngineChoice, change: Change): Promise<void> {
    const { modelId: model } = choice;
    if (change.superseded.aborted) return;
    try {
      if (!this.#serving.has(model)) await this.#put(choice, await this.#open(choice, change), change);
      else if (await this.#hasChanged(choice)) await this.#replace(choice, change);
      else {
        this.#tools.log("model_unchanged", { model });
        change.tell({ model, what: "unchanged" });
      }
    } catch (error) {
      // The newer change opens it, if it still wants it.
      if (change.superseded.aborted) return;
      change.errors.push(error);
      this.#fail(model, error, change);
    }
  }

  async #hasChanged(choice: EngineChoice): Promise<boolean> {
    const { workshop, digest } = this.#tools;
    const known = this.#serving.get(choice.modelId);
    if (JSON.stringify(known) !== JSON.stringify(choice)) return true;
    const now = await digest(choice);
    const station = workshop.stations.find(({ model }) => model === choice.modelId);
    return now !== undefined && now !== station?.weights;
  }

  async #open(choice: EngineChoice, change: Change): Promise<Engine> {
    const { open, workshop } = this.#tools;
    const waiting = (why: string): void => {
      workshop.failures.set(choice.modelId, why);
      change.tell({ model: choice.modelId, what: "waiting", why });
    };
    const opening: Opening = { signal: change.superseded, waiting };
    try {
      return await open(choice, opening);
    } catch (error) {
      const unwanted = this.#unwanted(change);
      if (!isNoMemory(error) || unwanted.length === 0) throw error;
      for (const model of unwanted) await this.#remove(model, change);
      return await open(choice, opening);
    }
  }

  /** Serves it from now on; what ran on what was there before ends there. */
  async #put(choice: EngineChoice, engine: Engine, { tell }: Change): Promise<void> {
    const { workshop, log, told } = this.#tools;
    if (this.#closed) return engine.close();
    const before = workshop.open(engine);
    this.#serving.set(choice.modelId, choice);
    workshop.failures.delete(choice.modelId);
    const { model, weights, slots, contextTokens, backend } = engine.info;
    log("engine_ready", { model, weights, slots, contextTokens, backend });
    told();
    tell({ model, what: "opened", weights });
    if (before !== undefined) await this.#retire(before);
  }

  async #replace(choice: EngineChoice, change: Change): Promise<void> {
    const { workshop, log, told } = this.#tools;
    let engine: Engine;
    try {
      engine = await this.#open(choice, change);
    } catch (error) {
      if (!isNoMemory(error)) throw error;
      // No room for both: the old one has to go first.
      log("model_drained_for_reload", { model: choice.modelId, ...errorFields(error) });
      const before = workshop.withdraw(choice.modelId);
      told();
      if (before !== undefined) await this.#retire(before);
      engine = await this.#openOrGoBack(choice, change);
    }
    await this.#put(choice, engine, change);
  }

  /** The old one is gone: where the new one cannot be opened after all, what was there before is better than nothing. */
  async #openOrGoBack(choice: EngineChoice, change: Change): Promise<Engine> {
    const before = this.#serving.get(choice.modelId);
    this.#serving.delete(choice.modelId);
    try {
      return await this.#open(choice, change);
    } catch (error) {
      if (before !== undefined) {
        const engine = await this.#open(before, change).catch(() => undefined);
        if (engine !== undefined) await this.#put(before, engine, change);
      }
      throw error;
    }
  }

  #unwanted({ wanted }: Change): readonly string[] {
    return [...this.#serving.keys()].filter((model) => !wanted.has(model));
  }

  async #removeUnwanted(change: Change): Promise<void> {
    const unwanted = this.#unwanted(change);
    if (change.superseded.aborted || unwanted.length === this.#serving.size) return;
    for (const model of unwanted) await this.#remove(model, change);
  }

  async #remove(model: string, { tell }: Change): Promise<void> {
    if (!this.#serving.delete(model)) return;
    const station = this.#tools.workshop.withdraw(model);
    this.#tools.told();
    this.#tools.log("model_removed", { model });
    tell({ model, what: "removed" });
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

  #fail(model: string, error: unknown, { tell }: Change): void {
    const { message = String(error) } = error instanceof Error ? error : {};
    this.#tools.workshop.failures.set(model, message);
    this.#tools.log("model_refused", { model, ...errorFields(error) });
    tell({ model, what: "refused", why: message });
  }
}

function isNoMemory(error: unknown): boolean {
  return error instanceof EngineFault && error.kind === "no_memory";
}
