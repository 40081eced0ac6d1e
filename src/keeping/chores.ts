/** What cron does beside the catalogue: each chore on its own, so that one that fails holds up no other. */
import type { Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import { reconcileStep } from "./reconcile.ts";
import { journalsStep } from "./unbilled-step.ts";
import { removeOld } from "./retention.ts";

const MINUTE_MS = 60_000;

type Chore = {
  readonly name: string;
  readonly everyMinutes: number;
  readonly run: (env: Env, nowMs: number) => Promise<void>;
};

const CHORES: readonly Chore[] = [
  { name: "retention", everyMinutes: 5, run: removeOld },
  { name: "reconcile", everyMinutes: 2, run: reconcileStep },
  { name: "journals", everyMinutes: 2, run: journalsStep },
];

/** `nowMs` is when cron was due. Never rejects. */
export async function doChores(env: Env, nowMs: number): Promise<void> {
  const minute = Math.floor(nowMs / MINUTE_MS);
  for (const { name, everyMinutes, run } of CHORES) {
    if (minute % everyMinutes !== 0) continue;
    try {
      await run(env, nowMs);
    } catch (error) {
      logError("chore_failed", error, { chore: name });
    }
  }
}
