/**
 * Finished answers in one piece under a client's `Idempotency-Key`, for ten minutes, whatever the temperature: sealed, named
 * and opened like any kept answer, under names of their own kind, so that a replay is never a cache hit of another request.
 *
 * Unlike cached answers they go into Workers KV at once: a client that tries again may come in anywhere. Which request a key
 * stands for, and whether it still runs, is the account's object's to say; this keeps the answer only. A pinned account's
 * stays in the memory of the isolate that had it: a client of such an account that comes in elsewhere is told of the conflict.
 */
import { lookFar, writeColo, writeKv, type FarStores } from "./far.ts";
import { answerMemory } from "./memory.ts";
import { nameAnswer, type AnswerName, type NameKey } from "./name.ts";
import { ANSWER_BYTES_MAX, REPLAY_TTL_S } from "./policy.ts";
import { open, seal, type AnswerHead, type SealKey } from "./seal.ts";

const NONCE_BYTES = 12;

/** `apiKey` is the id of the client's key: two keys of an account may use the same word for different requests. */
export function replayName(
  key: NameKey,
  account: string,
  tag: string,
  of: { readonly apiKey: string; readonly idempotencyKey: string },
): Promise<AnswerName> {
  return nameAnswer(key, account, tag, ["replay", of.apiKey, of.idempotencyKey]);
}

export type Replay = Pick<
  AnswerHead,
  "promptTokens" | "cachedTokens" | "completionTokens" | "reasoningTokens"
> & {
  /** The whole body, as the client got it: a replay has the first answer's id. */
  readonly text: string;
};

/** Never throws on a layer's account. Too large an answer is not kept. */
export async function keepReplay(
  env: FarStores,
  key: SealKey,
  name: AnswerName,
  replay: Replay & { readonly pinned: boolean },
): Promise<void> {
  const { pinned, ...answer } = replay;
  const atMs = Date.now();
  const times = { atMs, expiresAtMs: atMs + REPLAY_TTL_S * 1_000 };
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const sealed = await seal(key, name, { ...answer, ...times }, nonce);
  if (sealed.bytes.length > ANSWER_BYTES_MAX) return;
  answerMemory.put(name, { sealed, inKv: !pinned });
  if (pinned) return;
  await Promise.all([writeColo(name, sealed, true), writeKv(env, name, sealed)]);
}

/** The body; undefined where there is none that opens. */
export async function findReplay(
  env: FarStores,
  key: SealKey,
  name: AnswerName,
  pinned: boolean,
): Promise<string | undefined> {
  const kept = answerMemory.get(name, Date.now());
  if (kept !== undefined) return open(key, name, kept.sealed);
  const far = pinned ? undefined : await lookFar(env, name);
  return far === undefined ? undefined : open(key, name, far.sealed);
}
