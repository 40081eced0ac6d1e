/**
 * Kills at random moments, and lets what it killed come back; clients ask it whether there is an edge to call. The
 * dice say who dies and for how long; when, says the clock.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Platform } from "../../tools/run/platform.ts";
import type { Dice } from "../../tools/train/corpus/dice.ts";
import { strike, whenBack } from "../support/strike.ts";

const VICTIMS = [
  [4, "worker"],
  [4, "node"],
  [1, "nodes"],
  [2, "all"],
] as const;
type Victim = (typeof VICTIMS)[number][1];

const DEAD_MS_MAX = 800;

export type Storm = {
  /** Resolves when there is an edge; and when it has heard from its nodes again. */
  readonly edge: () => Promise<void>;
  readonly nodes: () => Promise<void>;
  /** Ends it; everything lives again when this resolves. Tells how often each was struck. */
  readonly calm: () => Promise<Readonly<Record<Victim, number>>>;
};

/** `pauseMs`: between one coming back and the next blow, shortest and longest. */
export function brew(
  platform: Platform,
  dice: Dice,
  { pauseMs, say }: { readonly pauseMs: readonly [number, number]; readonly say: (what: string) => void },
): Storm {
  const struck: Record<Victim, number> = { worker: 0, node: 0, nodes: 0, all: 0 };
  const over = new AbortController();
  let edge: Promise<void> = Promise.resolve();
  let ready: Promise<void> = Promise.resolve();
  const blow = async (): Promise<void> => {
    const victim = dice.weighted(VICTIMS);
    const deadMs = dice.int(0, DEAD_MS_MAX);
    const one = platform.nodes[dice.int(0, platform.nodes.length - 1)];
    const all = victim === "all" || victim === "nodes";
    const nodes = all ? platform.nodes : victim === "node" && one !== undefined ? [one] : [];
    const worker = victim === "worker" || victim === "all";
    struck[victim]++;
    say(`kill -9: ${victim === "node" ? one?.name : victim}`);
    const back = strike(platform, { worker, nodes }, deadMs);
    if (worker) edge = back;
    ready = back.then(() => whenBack(platform));
    // Told where it matters: by who waits for `back`, and at the end.
    ready.catch(() => undefined);
    await back;
  };
  const raging = (async () => {
    while (!over.signal.aborted) {
      await delay(dice.int(...pauseMs), undefined, { signal: over.signal }).catch(() => undefined);
      if (!over.signal.aborted) await blow();
    }
  })();
  // Who waits for the edge must not be the one who hears that it never came back.
  raging.catch(() => undefined);
  return {
    edge: () => edge.catch(() => undefined),
    nodes: () => ready.catch(() => undefined),
    async calm() {
      over.abort();
      await raging;
      await platform.whenNodesReady();
      return struck;
    },
  };
}
