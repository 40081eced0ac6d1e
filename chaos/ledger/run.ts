/**
 * The scene `ledger`: a real stack under mixed load, killed again and again, with beats and queue messages lost, late
 * and twice; then calm, the wait for every book to close, and the judge.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../../tools/run/ports.ts";
import { Dice } from "../../tools/train/corpus/dice.ts";
import type { Tenant } from "../../test/support/stack.ts";
import { findPlanted } from "../support/planted.ts";
import { roughBeats } from "../support/rough-beats.ts";
import type { Scene } from "../support/scene.ts";
import { startStack, type ChaosStack } from "../support/stack.ts";
import { madeOf, readLedger, type Holder } from "./books.ts";
import { call, callAgain, type Told } from "./client.ts";
import { judge } from "./judge.ts";
import { CROWD, planLedger, type Planned, type Purse } from "./plan.ts";
import { brew } from "./storm.ts";
import { verdictOf } from "./verdict.ts";

const REQUESTS = 2_000;
const NODES = 2;
const LANES = 12;
const PAUSE_MS = [300, 2_500] as const;
/** One in so many calls while no node is there. */
const IMPATIENT = 5;
/** Everything that is owed is in D1 by then, or it is not coming. */
const SETTLE_MS = 90_000;
const POLL_MS = 250;

/** A quarter of an hour in a minute; what is lost in a second is sent again in three. */
const CLOCKS = {
  holdLapseMs: 6_000,
  closeWithoutWordMs: 4_000,
  pendingMaxMs: 60_000,
  strikeRetryMs: 1_000,
  gatherMs: 500,
  resendMs: 3_000,
  logKeepMs: 15_000,
};

/** Dear enough that a budget is soon spent. */
const PRICE = { inputMicroUsdPerM: 1_000_000, cachedMicroUsdPerM: 100_000, outputMicroUsdPerM: 10_000_000 };
const CREDIT_NANO_USD: Readonly<Record<Purse, number>> = {
  rich: 100_000_000_000,
  // A handful of answers each, and a tenth of a crowd.
  tiny: 4_000_000,
  crowd: 4_000_000,
  repeater: 100_000_000,
};

type Purses = ReadonlyMap<string, Tenant>;

export const runLedger: Scene = async ({ seed, requests = REQUESTS, say }) => {
  const dice = new Dice(seed);
  const plan = planLedger(dice, requests);
  const marker = `planted-${randomBytes(8).toString("hex")}`;
  const port = await freePort();
  await using beats = await roughBeats(port, new Dice(seed + 1));
  say(`seed ${seed}: ${plan.length} requests; starting the stack`);
  await using stack = await startStack({
    nodeCount: NODES,
    port,
    main: "./chaos/worker/rough-queue.ts",
    clocks: CLOCKS,
    vars: { CHAOS_PLANTED: JSON.stringify([marker]) },
    nodeArgs: () => ["--edge", beats.url],
  });
  await stack.api.admin("PUT", `/models/${stack.platform.model}`, { price: PRICE });
  const purses = await openPurses(stack, plan);
  const startedAtMs = performance.now();
  const storm = brew(stack.platform, new Dice(seed + 2), { pauseMs: PAUSE_MS, say });
  const told: Told[] = [];
  let done = 0;
  const send = async (planned: Planned): Promise<void> => {
    const tenant = purses.get(purseName(planned));
    if (tenant === undefined) throw new Error(`no purse ${purseName(planned)}`);
    // Most wait until they can be served: a test in which all are refused tells little. Some call into the ruins.
    const ready = planned.nr % IMPATIENT === 0 ? storm.edge : storm.nodes;
    const { account, apiKey } = tenant;
    const caller = { baseUrl: stack.platform.baseUrl, account, apiKey, marker };
    if (planned.kind === "repeater") told.push(...(await callAgain(caller, planned, ready)));
    else {
      await ready();
      told.push(await call(caller, planned));
    }
    done++;
    if (done % 250 === 0) say(`${done} requests`);
  };
  await inLanes(plan, send);
  const struck = await storm.calm();
  const stormS = (performance.now() - startedAtMs) / 1_000;
  beats.smooth();
  say("calm; waiting for the books to close");
  const { holders, settleMs } = await settle(stack, purses);
  await stack.platform.stop();
  const { dataDir } = stack.platform;
  const ledger = readLedger(`${dataDir}/worker`);
  const judgement = judge({ told, made: madeOf(stack.emitted()), ledger, holders });
  const secrets = Object.fromEntries([...purses].map(([name, { apiKey }]) => [`key of ${name}`, apiKey]));
  const planted = { ...secrets, prompt: marker };
  const leaks = findPlanted(dataDir, planted).map(({ file, name }) => `${name} in ${file}`);
  for (const one of told) if (one.leaks) leaks.push(`key or prompt in the answer to call ${one.planned.nr}`);
  return verdictOf({ seed, told, struck, fates: beats.fates, judgement, leaks, stormS, settleMs });
};

function purseName({ purse, purseNr }: Pick<Planned, "purse" | "purseNr">): string {
  return `${purse} ${purseNr}`;
}

async function openPurses({ api }: ChaosStack, plan: readonly Planned[]): Promise<Purses> {
  const wanted = new Map(plan.map((planned) => [purseName(planned), planned.purse]));
  const purses = new Map<string, Tenant>();
  for (const [name, purse] of wanted)
    purses.set(name, await api.tenant({ creditNanoUsd: CREDIT_NANO_USD[purse] }));
  return purses;
}

/** So many at a time, in order; a crowd goes at once, beside whatever runs. */
async function inLanes(plan: readonly Planned[], send: (planned: Planned) => Promise<void>): Promise<void> {
  const queue = [...plan];
  const crowds: Promise<unknown>[] = [];
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (next.purse !== "crowd") await send(next);
      else crowds.push(Promise.all([next, ...queue.splice(0, CROWD - 1)].map(send)));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  await Promise.all(crowds);
}

/** Waits until nothing is held anywhere and D1 has every event; what is not so by the end is for the judge to say. */
async function settle(
  { api }: ChaosStack,
  purses: Purses,
): Promise<{ readonly holders: readonly Holder[]; readonly settleMs: number }> {
  const startedAtMs = performance.now();
  for (;;) {
    let open = 0;
    const holders = await Promise.all(
      [...purses].map(async ([name, tenant]): Promise<Holder> => {
        const [purse] = name.split(" ") as [Purse];
        const status = await api.status(tenant);
        const { balanceNanoUsd, heldNanoUsd, holdsOpen, holdsPending, lastSeq, eventsUnprojected } = status;
        const holds = holdsOpen + holdsPending;
        const creditedNanoUsd = CREDIT_NANO_USD[purse];
        open += holds + eventsUnprojected;
        const money = { creditedNanoUsd, balanceNanoUsd, heldNanoUsd };
        return { account: tenant.account, ...money, holds, lastSeq, oneAnswer: purse === "repeater" };
      }),
    );
    const settleMs = performance.now() - startedAtMs;
    if (open === 0 || settleMs > SETTLE_MS) return { holders, settleMs };
    await delay(POLL_MS);
  }
}
