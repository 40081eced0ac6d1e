/**
 * What an engine that is a server of its own says of its load, asked once a second: others may use it too, and its
 * memory is its own affair. A number that cannot be had is never taken for zero: the log and /metrics tell of it, and
 * what this node itself has given the server is all that is known.
 */
import { errorFields, type Log } from "../log.ts";

export type ServerLoad = {
  readonly running: number;
  readonly waiting: number;
  /** Share of the memory for keys and values; undefined where the server has no such number. */
  readonly kvUsage: number | undefined;
};

const ASK_INTERVAL_MS = 1_000;

export class EngineLoad {
  readonly #ask: () => Promise<ServerLoad>;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  #last: ServerLoad | undefined;
  #failed: string | undefined;
  #asking = false;

  constructor(ask: () => Promise<ServerLoad>, log: Log) {
    this.#ask = ask;
    this.#log = log;
    this.#timer = setInterval(() => void this.#once(), ASK_INTERVAL_MS).unref();
    void this.#once();
  }

  get last(): ServerLoad | undefined {
    return this.#last;
  }

  get failing(): boolean {
    return this.#failed !== undefined;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #once(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      this.#last = await this.#ask();
      if (this.#failed !== undefined) this.#log("engine_load_back", {});
      this.#failed = undefined;
    } catch (error) {
      const { message = "" } = error instanceof Error ? error : {};
      if (message !== this.#failed) this.#log("engine_load_unknown", errorFields(error));
      this.#failed = message;
      this.#last = undefined;
    } finally {
      this.#asking = false;
    }
  }
}
