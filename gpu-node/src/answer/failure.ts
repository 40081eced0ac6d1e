/**
 * What an attempt that fails says of it: how it ended, and what whoever asked may do next. Pure. An engine that lives and
 * refuses the task, or has no room for it, is no engine that died: the first is the task's affair, the second passes.
 */
import type { Ending } from "@sluice/protocol/receipt";
import { EngineFault } from "../engines/engine.ts";

export type Failure = {
  readonly ended: Ending;
  /** The engine does not take what is asked, or cannot go on with it: asking again helps nobody. */
  readonly refused?: true;
  /** With `no_room`: when there may be some. */
  readonly retryAfterMs?: number;
  /** The engine lives, and what else it holds is there. */
  readonly spared?: true;
};

/** `begun`: something was made. */
export function failureOf(error: unknown, begun: boolean): Failure {
  if (!(error instanceof EngineFault) || error.kind === "engine_died") return { ended: "engine_died" };
  const { kind, retryAfterMs } = error;
  const refused = kind === "unsupported" ? ({ refused: true } as const) : {};
  if (begun) return { ended: "engine_died", spared: true, ...refused };
  // It is as if no slot had come free.
  if (kind === "busy")
    return { ended: "no_room", spared: true, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  return { ended: "engine_died", spared: true, ...refused };
}
