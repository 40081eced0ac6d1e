/** The cells of the table: which load, how much of it, how often. Times are short because targets take turns. Pure. */
import { SCENES, STREAM_EVENTS, type Scene, type SceneName } from "./script.ts";

export type Cell = {
  readonly id: string;
  readonly scene: SceneName;
  readonly lanes: number;
  readonly forMs: number;
  readonly eachMax: number;
  readonly staggerMs: number;
};

export type Plan = {
  readonly rounds: number;
  readonly cells: readonly Cell[];
  /** Answers out of the cache, and refusals to compare them with. */
  readonly cached: readonly Cell[];
  /** For rows beside the table: fewer, and once. */
  readonly extra: readonly Cell[];
  readonly warmUp: readonly Cell[];
  /** Asserted before anything is measured: a target that holds a stream back is void. */
  readonly inTime: Cell;
};

/** `[DONE]` is an event too. */
export const EVENTS_WHOLE = STREAM_EVENTS + 1;

const NO_LIMIT = 1_000_000;
/** A crowd arrives over half a gap of its own streams, not in one packet. */
const CROWD_STAGGER_MS = 4;

function timed(scene: SceneName, lanes: number, forMs: number): Cell {
  return { id: `${scene}.c${lanes}`, scene, lanes, forMs, eachMax: NO_LIMIT, staggerMs: 0 };
}

/** So many streams on each lane, however long they take. */
function counted(scene: SceneName, lanes: number, eachMax: number, staggerMs = 0): Cell {
  return { id: `${scene}.c${lanes}`, scene, lanes, forMs: 60_000, eachMax, staggerMs };
}

export function planOf(quick: boolean): Plan {
  const forMs = quick ? 500 : 2_000;
  const streams = quick ? 1 : 5;
  return {
    rounds: quick ? 1 : 3,
    cells: [
      timed("json", 1, forMs),
      timed("json", 16, forMs),
      timed("json", 64, forMs),
      timed("burst", 1, forMs),
      timed("burst", 16, forMs),
      timed("swapped", 16, forMs),
      counted("gap2", 1, streams),
      counted("gap2", 16, streams),
      counted("gap20", quick ? 20 : 100, 1, CROWD_STAGGER_MS),
    ],
    cached: [timed("json", 1, forMs), timed("json", 16, forMs)],
    extra: [
      timed("json", 1, forMs),
      timed("json", 16, forMs),
      timed("burst", 16, forMs),
      counted("gap2", 1, streams),
    ],
    // Until V8 has compiled what is hot: the cost of Sluice's requests still falls after a thousand of them.
    warmUp: [timed("json", 16, quick ? 300 : 6_000), timed("burst", 4, quick ? 300 : 2_000)],
    inTime: counted("gap2", 1, 3),
  };
}

export function sceneOf({ scene }: Cell): Scene {
  return SCENES[scene];
}
