/**
 * One timer per request, for everything that must happen when nothing happens: the client hears something in every
 * second of silence, a client that takes nothing for 30 s is let go, and a node that outruns a limit (core/timeouts.ts)
 * is given up.
 */
import type { Overrun } from "@sluice/protocol/account";
import { overrun, type Timeouts, type Waited } from "../core/timeouts.ts";
import type { Outlet } from "./outlet.ts";

const TICK_MS = 250;
/** A little under a second, so that with the tick no second passes in silence. */
const CLIENT_SILENCE_MS = 750;
const CLIENT_SLOW_MS = 30_000;

/** A call whose node is watched. */
export type Watched = {
  readonly bodyBytes: number;
  readonly promptTokens: number;
  /** It does not say that it lives, nor when it takes the call: an upstream. */
  readonly quiet?: boolean;
  /** Called once, when a limit has run out. */
  readonly lost: (limit: Overrun) => void;
};

export type Pulse = {
  /** Something has come from the node that is being waited for; `moved`: the answer has come further. */
  readonly heard: (moved?: boolean) => void;
  /** The node has taken the call. */
  readonly taken: () => void;
  watch(call: Watched): void;
  unwatch(): void;
  /** From now on silence is broken on this outlet with `filler`. */
  feed(outlet: Outlet, filler: Uint8Array, gone: (why: "client_gone" | "client_slow") => void): void;
  stop(): void;
};

export function startPulse(limits: Timeouts, enteredAtMs: number): Pulse {
  let waited: Waited | undefined;
  let lost: Watched["lost"] | undefined;
  let fed:
    | { outlet: Outlet; filler: Uint8Array; gone: (why: "client_gone" | "client_slow") => void }
    | undefined;

  const tick = (): void => {
    const nowMs = Date.now();
    const waitingSinceMs = fed?.outlet.waitingSinceMs();
    if (waited !== undefined) {
      // While the client takes its time nobody reads the node: its silence says nothing then.
      if (waitingSinceMs !== undefined) pause(waited, nowMs);
      const limit = overrun(limits, waited, nowMs);
      if (limit !== undefined) {
        waited = undefined;
        lost?.(limit);
      }
    }
    if (fed === undefined) return;
    const { outlet, filler, gone } = fed;
    if (waitingSinceMs !== undefined) {
      if (nowMs - waitingSinceMs > CLIENT_SLOW_MS) gone("client_slow");
    } else if (nowMs - outlet.lastWriteAtMs() >= CLIENT_SILENCE_MS) {
      outlet.write(filler).catch(() => gone("client_gone"));
    }
  };
  const timer = setInterval(tick, TICK_MS);

  return {
    heard(moved = false) {
      if (waited === undefined) return;
      waited.heardAtMs = Date.now();
      if (moved) waited.movedAtMs = waited.heardAtMs;
    },
    taken() {
      if (waited !== undefined) waited.takenAtMs = waited.heardAtMs = Date.now();
    },
    watch(call) {
      const calledAtMs = Date.now();
      const { bodyBytes, promptTokens, quiet = false } = call;
      lost = call.lost;
      waited = { enteredAtMs, calledAtMs, heardAtMs: calledAtMs, bodyBytes, promptTokens, quiet };
      if (quiet) waited.takenAtMs = calledAtMs;
    },
    unwatch() {
      waited = undefined;
    },
    feed(outlet, filler, gone) {
      fed = { outlet, filler, gone };
    },
    stop() {
      clearInterval(timer);
      fed = undefined;
      waited = undefined;
    },
  };
}

function pause(waited: Waited, nowMs: number): void {
  waited.heardAtMs = nowMs;
  if (waited.movedAtMs !== undefined) waited.movedAtMs = nowMs;
}
