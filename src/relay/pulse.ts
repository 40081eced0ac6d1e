/**
 * One timer per request, for everything that must happen when nothing happens: the client hears something in every
 * second of silence, a client that takes nothing for 30 s is let go, and a node that says nothing (a healthy one sends
 * a comment each second) is given up.
 */
import type { Outlet } from "./outlet.ts";

const TICK_MS = 250;
/** A little under a second, so that with the tick no second passes in silence. */
const CLIENT_SILENCE_MS = 750;
const CLIENT_SLOW_MS = 30_000;
const NODE_SILENCE_MS = 5_000;

export type Pulse = {
  /** Something has come from the node that is being waited for. */
  readonly heard: () => void;
  /** From now on `lost` is called once if this node falls silent. */
  watch(lost: () => void): void;
  unwatch(): void;
  /** From now on silence is broken on this outlet with `filler`. */
  feed(outlet: Outlet, filler: Uint8Array, gone: (why: "client_gone" | "client_slow") => void): void;
  stop(): void;
};

export function startPulse(): Pulse {
  let heardAtMs = Date.now();
  let nodeLost: (() => void) | undefined;
  let fed:
    | { outlet: Outlet; filler: Uint8Array; gone: (why: "client_gone" | "client_slow") => void }
    | undefined;

  const tick = (): void => {
    const nowMs = Date.now();
    // While the client takes its time nobody reads the node: its silence says nothing then.
    const waitsForClient = fed?.outlet.waitingSinceMs() !== undefined;
    if (nodeLost !== undefined && !waitsForClient && nowMs - heardAtMs > NODE_SILENCE_MS) {
      nodeLost();
      nodeLost = undefined;
    }
    if (fed === undefined) return;
    const { outlet, filler, gone } = fed;
    const waitingSinceMs = outlet.waitingSinceMs();
    if (waitingSinceMs !== undefined) {
      if (nowMs - waitingSinceMs > CLIENT_SLOW_MS) gone("client_slow");
    } else if (nowMs - outlet.lastWriteAtMs() >= CLIENT_SILENCE_MS) {
      outlet.write(filler).catch(() => gone("client_gone"));
    }
  };
  const timer = setInterval(tick, TICK_MS);

  return {
    heard() {
      heardAtMs = Date.now();
    },
    watch(lost) {
      heardAtMs = Date.now();
      nodeLost = lost;
    },
    unwatch() {
      nodeLost = undefined;
    },
    feed(outlet, filler, gone) {
      fed = { outlet, filler, gone };
    },
    stop() {
      clearInterval(timer);
      fed = undefined;
      nodeLost = undefined;
    },
  };
}
