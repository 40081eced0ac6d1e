/** What a key has spent, by the rollups: reads one row per hour, model and region it was used in. */
import type { Env } from "../core/env.ts";

export type KeySpend = {
  readonly dayNanoUsd: number;
  readonly monthNanoUsd: number;
  readonly totalNanoUsd: number;
  readonly requests: number;
};

/** Days and months are those of UTC. */
export async function spendOf(
  env: Pick<Env, "DB">,
  account: string,
  key: string,
  nowMs: number,
): Promise<KeySpend> {
  const now = new Date(nowMs);
  const dayMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate());
  const monthMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth());
  const row = await env.DB.prepare(
    `SELECT coalesce(sum(cost_nano_usd) FILTER (WHERE hour_ms >= ?3), 0) AS dayNanoUsd,
            coalesce(sum(cost_nano_usd) FILTER (WHERE hour_ms >= ?4), 0) AS monthNanoUsd,
            coalesce(sum(cost_nano_usd), 0) AS totalNanoUsd, coalesce(sum(requests), 0) AS requests
     FROM rollups WHERE account = ?1 AND key = ?2`,
  )
    .bind(account, key, dayMs, monthMs)
    .first<KeySpend>();
  return row ?? { dayNanoUsd: 0, monthNanoUsd: 0, totalNanoUsd: 0, requests: 0 };
}
