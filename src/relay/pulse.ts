/**
 * One timer per request, for everything that must happen when nothing happens: the status goes out in time, the client hears
 * something in every second of silence, a client that takes nothing for 30 s is let go, and a node that outruns a limit
 * (core/timeouts.ts) is given up.
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
  /** What the work gives, or undefined once `atMs` has come; the work goes on. One at a time. */
  within<T>(work: Promise<T>, atMs: number): Promise<T | undefined>;
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
  let due: { readonly atMs: number; readonly call: () => void } | undefined;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let ringsAtMs = 0;

  const arm = (nowMs: number): void => {
    ringsAtMs = Math.min(nowMs + TICK_MS, due?.atMs ?? Number.POSITIVE_INFINITY);
    timer = setTimeout(ring, Math.max(0, ringsAtMs - nowMs));
  };

  const ring = (): void => {
    const nowMs = Date.now();
    if (due !== undefined && due.atMs <= nowMs) {
      due.call();
      due = undefined;
    }
    arm(nowMs);
    tick(nowMs);
  };

  const tick = (nowMs: number): void => {
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

  arm(Date.now());

  return {
    async within(work, atMs) {
      const late = new Promise<undefined>((resolve) => {
        due = { atMs, call: () => resolve(undefined) };
      });
      if (atMs < ringsAtMs) {
        clearTimeout(timer);
        arm(Date.now());
      }
      work.catch(() => undefined);
      const first = await Promise.race([work, late]);
      due = undefined;
      return first;
    },
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
      clearTimeout(timer);
      due = undefined;
      fed = undefined;
      waited = undefined;
    },
  };
}

function pause(waited: Waited, nowMs: number): void {
  waited.heardAtMs = nowMs;
  if (waited.movedAtMs !== undefined) waited.movedAtMs = nowMs;
}
