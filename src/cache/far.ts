/**
 * The layers behind the isolate's memory: the data centre's Cache API, then Workers KV. Sealed answers go in, bytes of
 * unknown worth come out; what they are is decided by whoever opens them.
 *
 * Reads cost a request nothing but their price: they run beside the admission, one after the other because a KV read
 * costs money and the Cache API does not, and whatever is down or slower than LOOK_UP_MS_MAX has missed. Writes come
 * after the answer. Workers KV is written on second sight only: a write costs ten reads, and most questions are asked once.
 * The copy in the Cache API says whether KV has the answer already, so that isolates do not write it again and again.
 *
 * Both keep what they are given wherever the call happened to enter, and Workers KV everywhere. A pinned account's answers, sealed
 * as they are, come to neither: callers see to that.
 */
import type { Bytes } from "@sluice/protocol/bytes";
import type { Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import { within } from "../core/within.ts";
import type { AnswerName } from "./name.ts";
import { ANSWER_BYTES_MAX, LOOK_UP_MS_MAX, TTL_MIN_S, WRITE_EVERY_MS } from "./policy.ts";
import { readSealed, type SealedAnswer } from "./seal.ts";

export type FarLayer = "colo" | "kv";
export type FarFound = { readonly sealed: SealedAnswer; readonly layer: FarLayer; readonly inKv: boolean };

/** Nothing listens there: a name of its own for keys of the Cache API. */
const CACHE_ORIGIN = "https://answers.sluice.invalid/1/";
const KV_PREFIX = "answer/1/";
const IN_KV_HEADER = "x-sluice-in-kv";
/** KV's nearest cache may keep a value this long. A purge does not need it to forget. */
const KV_CACHE_TTL_S = 300;
/** Recent writes remembered, to keep to one a second and key. */
const WRITES_MAX = 4_096;

export type FarStores = Pick<Env, "KV">;

/** Never throws, never takes longer than LOOK_UP_MS_MAX. */
export async function lookFar(env: FarStores, name: AnswerName): Promise<FarFound | undefined> {
  return within(look(env, name), LOOK_UP_MS_MAX);
}

async function look(env: FarStores, name: AnswerName): Promise<FarFound | undefined> {
  return (await quietly("colo", () => fromColo(name))) ?? (await quietly("kv", () => fromKv(env, name)));
}

async function fromColo(name: AnswerName): Promise<FarFound | undefined> {
  const response = await caches.default.match(CACHE_ORIGIN + name.text);
  if (response === undefined) return undefined;
  const inKv = response.headers.get(IN_KV_HEADER) === "1";
  const sealed = readBytes(await response.arrayBuffer());
  return sealed === undefined ? undefined : { sealed, layer: "colo", inKv };
}

async function fromKv(env: FarStores, name: AnswerName): Promise<FarFound | undefined> {
  const value = await env.KV.get(KV_PREFIX + name.text, { type: "arrayBuffer", cacheTtl: KV_CACHE_TTL_S });
  const sealed = value === null ? undefined : readBytes(value);
  return sealed === undefined ? undefined : { sealed, layer: "kv", inKv: true };
}

function readBytes(value: ArrayBuffer): SealedAnswer | undefined {
  const bytes: Bytes = new Uint8Array(value);
  return readSealed(bytes, Date.now());
}

/** Never throws. `inKv` is what the copy says of KV. */
export async function writeColo(name: AnswerName, sealed: SealedAnswer, inKv: boolean): Promise<void> {
  const leftS = secondsLeft(sealed);
  if (leftS < 1 || !mayWrite(`colo ${name.text} ${inKv}`, Date.now())) return;
  const headers = new Headers({ "cache-control": `max-age=${leftS}`, [IN_KV_HEADER]: inKv ? "1" : "0" });
  await quietly("colo", () =>
    caches.default.put(CACHE_ORIGIN + name.text, new Response(sealed.bytes, { headers })),
  );
}

/** Never throws; says whether KV has it now. */
export async function writeKv(env: FarStores, name: AnswerName, sealed: SealedAnswer): Promise<boolean> {
  const expirationTtl = secondsLeft(sealed);
  if (expirationTtl < TTL_MIN_S || sealed.bytes.length > ANSWER_BYTES_MAX) return false;
  if (!mayWrite(`kv ${name.text}`, Date.now())) return false;
  const written = await quietly("kv", async () => {
    await env.KV.put(KV_PREFIX + name.text, sealed.bytes, { expirationTtl });
    return true;
  });
  return written ?? false;
}

function secondsLeft({ head }: SealedAnswer): number {
  return Math.floor((head.expiresAtMs - Date.now()) / 1_000);
}

/** When what was last written, in the order of writing. */
const writes = new Map<string, number>();

function mayWrite(what: string, nowMs: number): boolean {
  if (nowMs - (writes.get(what) ?? -Infinity) < WRITE_EVERY_MS) return false;
  writes.delete(what);
  writes.set(what, nowMs);
  const oldest = writes.size > WRITES_MAX ? writes.keys().next().value : undefined;
  if (oldest !== undefined) writes.delete(oldest);
  return true;
}

/** A layer that is down has missed. */
async function quietly<T>(layer: FarLayer, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    logError("answer_layer_failed", error, { layer });
    return undefined;
  }
}
