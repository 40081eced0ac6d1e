/**
 * `npm run bench -- cost`: what a million requests of each kind cost at Cloudflare's list prices, from rows, operations,
 * busy time and CPU counted on a running platform. Not a model of the code: the code, counted.
 *
 * Three platforms run at once, so that none counts for another. Two answer 500-event streams, at 1 and at 50 calls a
 * second: an answer takes ten seconds, as a model's would. On two cores 25,000 events a second are too many; so at 50 a
 * second an answer has six events over the same ten seconds, which changes no row and no operation, and its CPU is taken
 * from the 500-event answers at 1 a second. The third does everything else.
 */
import { setTimeout as delay } from "node:timers/promises";
import { loadavg } from "node:os";
import type { Stack, Tenant } from "../../test/support/stack.ts";
import { Void } from "../edge/books.ts";
import { perRequest, scaled } from "./price.ts";
import { resultOf, type CostResult, type Measured } from "./result.ts";
import { startCounting, type CountingStack, type Stretch } from "./stack.ts";

type Plan = {
  readonly idleS: number;
  readonly answers: readonly [low: number, high: number];
  readonly calls: number;
};
const PLANS: Readonly<Record<"full" | "quick", Plan>> = {
  full: { idleS: 15, answers: [45, 1_500], calls: 300 },
  quick: { idleS: 3, answers: [3, 50], calls: 30 },
};

const PER_SECOND = [1, 50] as const;
const OTHERS_PER_SECOND = 25;
const ANSWER_MS = 10_000;
const EVENTS = 500;
const EVENTS_FEW = 6;
const SETTLED_WITHIN_MS = 60_000;
export async function runCost(settings: {
  readonly quick: boolean;
  readonly say: (what: string) => void;
}): Promise<CostResult> {
  const plan = PLANS[settings.quick ? "quick" : "full"];
  const loadBefore = loadavg();
  settings.say("starting three platforms");
  await using low = await startCounting();
  await using high = await startCounting();
  await using others = await startCounting();
  await Promise.all([low, high, others].map(settled));
  settings.say("what they cost at rest");
  const [idleLow, idleHigh, idleOthers] = (await Promise.all(
    [low, high, others].map((stack) => stack.during(() => delay(plan.idleS * 1_000))),
  )) as [Stretch, Stretch, Stretch];
  settings.say("answers, and everything else");
  const [answeredLow, answeredHigh, rest] = await Promise.all([
    measure({ stack: low, idle: idleLow }, plan.answers[0], PER_SECOND[0], (nr) => stream(low, EVENTS, nr)),
    measure({ stack: high, idle: idleHigh }, plan.answers[1], PER_SECOND[1], (nr) =>
      stream(high, EVENTS_FEW, nr),
    ),
    everythingElse(others, idleOthers, plan.calls, settings.say),
  ]);
  const { workerCpuMs } = answeredLow.amounts;
  return resultOf({
    measured: {
      answeredLow,
      answeredHigh: { ...answeredHigh, amounts: { ...answeredHigh.amounts, workerCpuMs } },
      ...rest,
    },
    idlePerSecond: scaled(idleLow.amounts, 1 / idleLow.seconds),
    load: [...loadBefore, ...loadavg()].map((load) => Number(load.toFixed(2))),
  });
}

type Others = Readonly<Record<"cachedHit" | "cacheableMiss" | "refused" | "garbageKey", Measured>>;

async function everythingElse(
  stack: CountingStack,
  idle: Stretch,
  calls: number,
  say: (what: string) => void,
): Promise<Others> {
  const { api, tenant } = stack;
  const poor = await api.tenant({ creditNanoUsd: 1 });
  const garbage = {
    ...tenant,
    apiKey: `${tenant.apiKey.slice(0, -4)}${tenant.apiKey.endsWith("aaaa") ? "bbbb" : "aaaa"}`,
  };
  const cell = async (work: (nr: number) => Promise<void>, name: string): Promise<Measured> => {
    say(name);
    return measure({ stack, idle }, calls, OTHERS_PER_SECOND, work);
  };
  // The first sight is a miss, the second writes the answer further out; what is priced comes after them.
  for (let sight = 0; sight < 3; sight++) await ask(api, tenant, "always the same", 200);
  return {
    garbageKey: await cell(() => ask(api, garbage, "hello", 401), "garbage keys"),
    refused: await cell(() => ask(api, poor, "hello", 402), "refusals"),
    cachedHit: await cell(() => ask(api, tenant, "always the same", 200), "cached answers"),
    cacheableMiss: await cell((nr) => ask(api, tenant, `never the same ${nr}`, 200), "cacheable misses"),
  };
}

/** Calls at an even pace; then the wait for all that follows from them. */
async function measure(
  { stack, idle }: { readonly stack: CountingStack; readonly idle: Stretch },
  count: number,
  perSecond: number,
  work: (nr: number) => Promise<void>,
): Promise<Measured> {
  const { amounts, counts, seconds } = await stack.during(async () => {
    const startedAtMs = performance.now();
    const running: Promise<void>[] = [];
    for (let nr = 0; nr < count; nr++) {
      await delay(Math.max(0, startedAtMs + (nr * 1_000) / perSecond - performance.now()));
      running.push(work(nr));
    }
    await Promise.all(running);
    await settled(stack);
  });
  const alike = scaled(idle.amounts, seconds / idle.seconds);
  return { requests: count, amounts: perRequest(amounts, alike, count), counts };
}

async function settled({ api, tenant }: CountingStack): Promise<void> {
  const endMs = performance.now() + SETTLED_WITHIN_MS;
  for (;;) {
    const { holdsOpen, holdsPending, eventsUnprojected } = await api.status(tenant);
    if (holdsOpen + holdsPending + eventsUnprojected === 0) return;
    if (performance.now() > endMs) throw new Void("the books were not closed a minute after the last answer");
    await delay(500);
  }
}

async function stream({ api, tenant }: CountingStack, events: number, nr: number): Promise<void> {
  // The last token is the end, which comes with the last event.
  const script = { tokens: events - 1, everyMs: ANSWER_MS / events };
  const response = await api.post(tenant, {
    model: "deepseek-chat",
    stream: true,
    max_tokens: EVENTS * 2,
    temperature: 1,
    messages: [{ role: "user", content: `${nr} ${JSON.stringify({ script })}` }],
  });
  const text = await response.text();
  if (!response.ok || !text.includes("[DONE]"))
    throw new Void(`a stream failed: ${response.status} ${text.slice(-300)}`);
}

async function ask(api: Stack, tenant: Tenant, what: string, status: number): Promise<void> {
  const response = await api.post(tenant, {
    model: "deepseek-chat",
    max_tokens: 64,
    temperature: 0,
    messages: [{ role: "user", content: what }],
  });
  await response.text();
  if (response.status !== status) throw new Void(`${response.status} where ${status} was to come`);
}
