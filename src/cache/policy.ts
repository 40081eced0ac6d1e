/**
 * Whether an answer may be recalled and remembered, and for how long. Pure. All defaults and bounds of the answer cache
 * stand here.
 *
 * The narrower says more: request, then key, then account, then the default. Without a word deterministic requests
 * (temperature 0, or a seed) are recalled and remembered; a sampled one only when the request itself asks, because who
 * samples wants another answer each time.
 *
 * Kept is one chat answer, in words, and nothing else. Several answers to one question are asked for because they differ, and where
 * they do not they are one. Log probabilities are asked for by who measures the model, and would make an answer many times as
 * large. Text completions are read by tools that send each prompt once. Each would be a second format in every layer, to be read
 * strictly and for ever; a miss costs what it cost before. An embedding is told by its server in a moment, and is large.
 */
import { CacheMode, type CacheSetting } from "@sluice/protocol/account";

export type CacheWish = { readonly mode: CacheMode | undefined; readonly ttlS: number | undefined };

export const CACHE_HEADER = "x-sluice-cache";
export const TTL_DEFAULT_S = 24 * 60 * 60;
/** Less than Workers KV takes is worth nobody's write. */
export const TTL_MIN_S = 60;
export const TTL_MAX_S = 30 * 24 * 60 * 60;
/** A sealed answer that is larger is not kept anywhere. */
export const ANSWER_BYTES_MAX = 512 * 1024;
/** All sealed answers in one isolate; the Worker has 128 MB for everything. */
export const MEMORY_BYTES_MAX = 24 * 1024 * 1024;
export const MEMORY_ANSWERS_MAX = 4_096;
/** A farther layer that has not answered by then has missed. */
export const LOOK_UP_MS_MAX = 50;
/** How long a request waits for an identical one that runs already; then it runs alone. */
export const FOLLOW_MS_MAX = 10_000;
/** One key is written to a farther layer at most once in this time. */
export const WRITE_EVERY_MS = 1_000;
/** Finished answers under an `Idempotency-Key`. */
export const REPLAY_TTL_S = 600;

/** Undefined where the header is not one: a wish that is misread would be a surprise on somebody's bill. */
export function readWish(header: string | null): CacheWish | undefined {
  let mode: CacheMode | undefined;
  let ttlS: number | undefined;
  for (const part of (header ?? "").split(/[;,]/).map((text) => text.trim().toLowerCase())) {
    if (part === "") continue;
    const known = CacheMode.options.find((name) => name === part);
    const ttl = /^ttl=(\d{1,8})$/.exec(part)?.[1];
    if (known !== undefined && mode === undefined) mode = known;
    else if (ttl !== undefined && ttlS === undefined) ttlS = Number(ttl);
    else return undefined;
  }
  if (ttlS !== undefined && (ttlS < TTL_MIN_S || ttlS > TTL_MAX_S)) return undefined;
  return { mode, ttlS };
}

export type CachePlan = {
  readonly recall: boolean;
  readonly remember: boolean;
  readonly ttlS: number;
};

/** `setting` is the key's, else the account's; undefined while it is not known yet, or where neither says anything. */
export function planCache(wish: CacheWish, deterministic: boolean, setting: CacheSetting = {}): CachePlan {
  const mode = wish.mode ?? (deterministic ? (setting.mode ?? "write") : "off");
  return {
    recall: mode === "read" || mode === "write",
    remember: mode === "write" || mode === "refresh",
    ttlS: wish.ttlS ?? setting.ttlS ?? TTL_DEFAULT_S,
  };
}
