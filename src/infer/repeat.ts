/**
 * A call that repeats another, under the same `Idempotency-Key`. The account's object says what the key stands for; here
 * the finished answer in one piece is kept for whoever asks again, and found for them.
 */
import type { AdmitRefusal } from "@sluice/protocol/account";
import { findReplay, keepReplay, replayName } from "../cache/replays.ts";
import { logError } from "../core/log.ts";
import { answerNameKey, isolationNames } from "../core/secrets.ts";
import { countsOf, finishedFromWhole } from "../wire/openai-replay.ts";
import { keyFor, type Admitted } from "./recall.ts";
import { finish, type Job, type Travel } from "./travel.ts";

type Conflict = Extract<AdmitRefusal, { kind: "idempotency_conflict" }>;

/** The answer that was given before; undefined where there is none to give again, and then the conflict is told. */
export async function replayed(travel: Travel, job: Job, conflict: Conflict): Promise<Response | undefined> {
  // A stream is not kept; and an answer that is there already is given before its receipt has come.
  if (job.call.stream || job.repeat === undefined || conflict.state === "changed") return undefined;
  const { cacheSalt, pinned, request } = conflict;
  const key = await keyFor(travel.secrets, job.who.account, cacheSalt);
  const name = await nameFor(travel, job, job.repeat.key);
  const text = await findReplay(travel.env, key, name, pinned);
  if (text === undefined) return undefined;
  travel.trace.ended = "replayed";
  finish(travel);
  return new Response(text, {
    headers: {
      "content-type": "application/json",
      "cache-control": "no-store",
      "x-request-id": request,
      "idempotent-replayed": "true",
    },
  });
}

/** Keeps an answer in one piece for ten minutes; undefined where nobody can ask for it again. */
export function replayKeeper(
  travel: Travel,
  job: Job,
  admitted: Admitted,
): ((text: string) => void) | undefined {
  const { repeat, call, who } = job;
  if (repeat === undefined || call.stream) return undefined;
  const keep = async (text: string): Promise<void> => {
    const finished = finishedFromWhole(text);
    const counts = (finished && countsOf(finished)) ?? NO_COUNTS;
    const key = await keyFor(travel.secrets, who.account, admitted.cacheSalt);
    const name = await nameFor(travel, job, repeat.key);
    await keepReplay(travel.env, key, name, { text, ...counts, pinned: admitted.regions !== null });
  };
  return (text) => {
    const keeping = keep(text).catch((error: unknown) =>
      logError("replay_not_kept", error, { id: travel.requestId }),
    );
    travel.ctx.waitUntil(keeping);
  };
}

/** Counts are the head's; a replay is found by its name, and its row was written by the request that made it. */
const NO_COUNTS = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 };

async function nameFor({ secrets }: Travel, { who, call }: Job, idempotencyKey: string) {
  const { tag } = await isolationNames(secrets, who.account, call.userId);
  return replayName(await answerNameKey(secrets), who.account, tag, { apiKey: who.keyId, idempotencyKey });
}
