/** What an attempt works with: the same for every attempt on a model but for whom a complaint is about. */
import type { Engine } from "../engines/engine.ts";
import type { Measures } from "../load/measures.ts";
import type { Speeds } from "../load/speed.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";

export type Tools = {
  readonly engine: Engine;
  readonly scheduler: Scheduler;
  readonly measures: Measures;
  readonly speeds: Speeds;
  readonly queueWaitMs: number;
  readonly attemptMsMax: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Something broke that no caller can be told. */
  readonly complain: (event: string, error: unknown) => void;
};
