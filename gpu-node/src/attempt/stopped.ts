/** What cuts an attempt short from outside, and the error by which whoever works for it is told to let go. */
import type { Ending } from "@sluice/protocol/receipt";

/** Endings that come from outside and cut an attempt short. */
export type StopEnding = Extract<Ending, "client_gone" | "client_slow" | "timeout" | "drained">;

export class Stopped extends Error {
  override readonly name = "Stopped";
  readonly ending: StopEnding;

  constructor(ending: StopEnding) {
    super(ending);
    this.ending = ending;
  }
}
