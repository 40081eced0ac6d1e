/**
 * When a beat carries the sketch: where it has changed since an edge last heard it, at most once a second, and again
 * after a beat that nobody answered. Pure.
 */
import { SKETCH_INTERVAL_MS } from "@sluice/protocol/sketch";

export class SketchTiming {
  #heard = 0;
  #sent: number | undefined;
  #sentAtMs = Number.NEGATIVE_INFINITY;

  /** Whether the beat composed now carries this version. */
  due(version: number, nowMs: number): boolean {
    this.#sent = undefined;
    if (version === this.#heard || nowMs - this.#sentAtMs < SKETCH_INTERVAL_MS) return false;
    this.#sent = version;
    this.#sentAtMs = nowMs;
    return true;
  }

  /** The last beat composed was answered. */
  answered(): void {
    this.#heard = this.#sent ?? this.#heard;
  }
}
