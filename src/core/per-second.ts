/**
 * How often a second this isolate does something on a stranger's word: a look-up that only a store can answer, for a name nobody
 * has vouched for. Whoever is known is asked no leave. The clock is an argument.
 */
export class PerSecond {
  readonly #max: number;
  #secondMs = -Infinity;
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Takes one of this second's; false where there is none left. */
  take(nowMs: number): boolean {
    this.#turn(nowMs);
    if (this.#taken >= this.#max) return false;
    this.#taken += 1;
    return true;
  }

  #turn(nowMs: number): void {
    const secondMs = Math.floor(nowMs / 1_000);
    if (secondMs === this.#secondMs) return;
    this.#secondMs = secondMs;
    this.#taken = 0;
  }
}
