/**
 * How late this process' event loop is: what every reader of a stream waits in addition. Of the last whole window and
 * the one that runs, whichever is worse, so that whoever asks now and then sees a stall that was seconds ago.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";

const WINDOW_MS = 15_000;
/** The monitor's own timer; it counts as no delay. */
const RESOLUTION_MS = 1;
const NS_PER_S = 1_000_000_000;

export type LoopQuantiles = { readonly p50S: number; readonly p99S: number };

export class LoopDelay {
  readonly #histogram: IntervalHistogram;
  readonly #turns: NodeJS.Timeout;
  #last: LoopQuantiles = { p50S: 0, p99S: 0 };

  constructor() {
    this.#histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    this.#histogram.enable();
    this.#turns = setInterval(() => {
      this.#last = this.#read();
      this.#histogram.reset();
    }, WINDOW_MS).unref();
  }

  get quantiles(): LoopQuantiles {
    const now = this.#read();
    return { p50S: Math.max(now.p50S, this.#last.p50S), p99S: Math.max(now.p99S, this.#last.p99S) };
  }

  stop(): void {
    clearInterval(this.#turns);
    this.#histogram.disable();
  }

  #read(): LoopQuantiles {
    const late = (percentile: number): number =>
      Math.max(0, this.#histogram.percentile(percentile) / NS_PER_S - RESOLUTION_MS / 1_000);
    return { p50S: late(50), p99S: late(99) };
  }
}
