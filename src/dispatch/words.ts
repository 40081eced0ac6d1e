/**
 * Sends words to the account's object until they are acknowledged. A word is what makes an unnatural ending exact, so
 * it is tried again, with growing pauses, for as long as the request's own context may live after the client; where it
 * is lost all the same, the object closes the request from receipts alone, later.
 */
import type { Word } from "@sluice/protocol/account";
import { accountObject, type Env } from "../core/env.ts";

const TRIES_MAX = 6;
const FIRST_PAUSE_MS = 100;

/** Resolves when the object has acknowledged the word (and says whether the request goes on), or has failed each time. */
export async function sendWord(
  env: Pick<Env, "ACCOUNTS" | "SLUICE_DEV">,
  word: Word,
): Promise<"open" | "closed" | "lost"> {
  for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
    if (attempt > 0) await scheduler.wait(FIRST_PAUSE_MS * 2 ** (attempt - 1));
    try {
      // A new stub each time: one that has seen its object fail may stay broken.
      const { state } = await accountObject(env, word.account).word(word);
      if (state !== "storage_unavailable") return state;
    } catch {
      // Tried again; the last failure is told by the return value.
    }
  }
  return "lost";
}
