/**
 * When a beat carries the sketch: where it has changed since an edge last heard it, at most once a second, and again
 * after a beat that nobody answered, or where the edge says that it has lost it. Pure.
 */
import { SKETCH_INTERVAL_MS } from "@sluice/protocol/sketch";

/** No version is this one. */
const NEVER = -1;

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

  /** The last beat composed was answered; `lost`: whoever answered knows of no sketch, whatever was said before. */
  answered(lost = false): void {
    if (lost) this.#heard = NEVER;
    else this.#heard = this.#sent ?? this.#heard;
  }
}
