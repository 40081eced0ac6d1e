/**
 * The Worker as it is, and one more path that puts load on one account's object from within workerd: what the object can
 * do, without what HTTP costs beside it. Only a bench builds this entry.
 *
 * `GET /v1/bench/account?mode=admit&lanes=64&ms=4000`         admissions in a closed loop
 * `GET /v1/bench/account?mode=mixed&perS=1500&ms=8000`        as many admissions as settlements, at an even pace, the
 *                                                             settlements in batches of a node's beats
 * Answers with how many there were, in which time, and how long each admission took.
 */
import type { AdmitAsk, CheckedReceipt } from "@sluice/protocol/account";
import { randomName, ulid } from "@sluice/protocol/ids";
import { BEATS_PER_SECOND_MAX } from "@sluice/protocol/limits";
import { NEWEST } from "@sluice/protocol/version";
import { accountObject, type Env } from "../../src/core/env.ts";
import worker from "../../src/index.ts";

export * from "../../src/index.ts";

const SECRET = "ab".repeat(32);
const CREDIT_NANO_USD = 1_000_000_000_000_000;
const PRICE = {
  id: "p1",
  inputMicroUsdPerM: 100_000,
  cachedMicroUsdPerM: 10_000,
  outputMicroUsdPerM: 400_000,
};
/** Far above what is sent: limits that are kept count of and never reached. */
const LIMITS = { requestsPerMinute: 10_000_000, concurrency: 1_000_000 };
const TICK_MS = 5;
/** A call is settled this long after its admission. */
const ANSWER_MS = 1_000;

type Load = { readonly account: string; readonly key: string; readonly tookMs: number[] };

async function openLoad(env: Env): Promise<Load> {
  const dice = (): Uint8Array => crypto.getRandomValues(new Uint8Array(16));
  const account = `acc_any_${randomName(12, dice())}`;
  const key = `key_${randomName(10, dice())}`;
  const object = accountObject(env, account);
  await object.configure({ account, ...LIMITS });
  await object.putKey({ id: key, name: "bench", secretSha256: SECRET, ...LIMITS });
  await object.credit({ creditId: "bench", amountNanoUsd: CREDIT_NANO_USD, note: "" });
  return { account, key, tookMs: [] };
}

async function admit(env: Env, { account, key, tookMs }: Load): Promise<string> {
  const request = `req_${ulid(Date.now(), crypto.getRandomValues(new Uint8Array(16)))}`;
  const ask: AdmitAsk = {
    v: NEWEST,
    account,
    key: { id: key, secretSha256: SECRET },
    request,
    model: "tiny",
    stream: true,
    promptCeiling: 500,
    outputAsked: 500,
    outputDefault: 4_096,
    price: PRICE,
  };
  const startedAtMs = performance.now();
  const verdict = await accountObject(env, account).admit(ask);
  tookMs.push(performance.now() - startedAtMs);
  if (!verdict.ok) throw new Error(`refused: ${verdict.refusal.kind}`);
  return request;
}

function receiptOf(request: string): CheckedReceipt {
  const receipt = {
    v: NEWEST,
    ticket: `k1:${"x".repeat(500)}`,
    request,
    ordinal: 0,
    choice: 0,
    node: "node_0000000000",
    boot: "boot_01JD0000000000000000000000",
    from: 0,
    to: 300,
    ended: "stop",
    prompt: 200,
    cached: 0,
    reasoning: 0,
    weights: "w1",
    begunAtMs: 0,
    endedAtMs: 0,
    queueMs: 0,
    prefillMs: 0,
  } as const;
  return { receipt, region: "local", promptCeiling: 500, outputCeiling: 500 };
}

async function admissions(env: Env, load: Load, lanes: number, forMs: number): Promise<void> {
  const endMs = performance.now() + forMs;
  const lane = async (): Promise<void> => {
    while (performance.now() < endMs) await admit(env, load);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

async function mixed(env: Env, load: Load, perS: number, forMs: number): Promise<number> {
  const { account } = load;
  const running: { readonly request: string; readonly settleAtMs: number }[] = [];
  const pending: Promise<void>[] = [];
  const startedAtMs = performance.now();
  let admitted = 0;
  let settled = 0;
  let beatAtMs = startedAtMs;
  for (let nowMs = startedAtMs; nowMs < startedAtMs + forMs; nowMs = performance.now()) {
    const due = Math.floor(((nowMs - startedAtMs) / 1_000) * perS) - admitted;
    for (let i = 0; i < due; i++) {
      admitted++;
      pending.push(
        admit(env, load).then(
          (request) => void running.push({ request, settleAtMs: performance.now() + ANSWER_MS }),
        ),
      );
    }
    if (nowMs >= beatAtMs) {
      beatAtMs += 1_000 / BEATS_PER_SECOND_MAX;
      const open = running.findIndex(({ settleAtMs }) => settleAtMs > nowMs);
      const over = running.splice(0, open < 0 ? running.length : open);
      settled += over.length;
      const receipts = over.map(({ request }) => receiptOf(request));
      if (receipts.length > 0)
        pending.push(
          accountObject(env, account)
            .settle({ v: NEWEST, account, receipts, renew: [] })
            .then(() => undefined),
        );
    }
    await scheduler.wait(TICK_MS);
  }
  await Promise.all(pending);
  return settled;
}

async function answer(env: Env, params: URLSearchParams): Promise<Response> {
  const load = await openLoad(env);
  const forMs = Number(params.get("ms"));
  const startedAtMs = performance.now();
  let settled = 0;
  if (params.get("mode") === "mixed") settled = await mixed(env, load, Number(params.get("perS")), forMs);
  else await admissions(env, load, Number(params.get("lanes")), forMs);
  const seconds = (performance.now() - startedAtMs) / 1_000;
  return Response.json({ account: load.account, seconds, settled, tookMs: load.tookMs });
}

export default {
  ...worker,
  fetch(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    return pathname === "/v1/bench/account" ? answer(env, searchParams) : worker.fetch(request, env, ctx);
  },
};
