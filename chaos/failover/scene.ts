/**
 * One part of the scene: a stack of three nodes in two regions, each behind a wire that can be struck; clients that keep
 * so many streams open; blows that fall meanwhile. Then calm, until every bill is there; then the nodes stop, and what
 * they journalled is read.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { openD1File } from "../../tools/run/d1-file.ts";
import { startPlatform, type Platform } from "../../tools/run/platform.ts";
import { until } from "../../tools/run/processes.ts";
import type { Dice } from "../../tools/train/corpus/dice.ts";
import { Stack, type Tenant } from "../../test/support/stack.ts";
import type { Settings } from "../support/scene.ts";
import { TcpProxy, type Struck } from "../support/tcp-proxy.ts";
import { ask, type Question } from "./client.ts";
import { Injector, type Victim, type Weather } from "./injector.ts";
import { readJournals } from "./journals.ts";
import type { Books, Hit, Kind, Row, Stream } from "./judge.ts";
import type { Spell } from "./spelling.ts";

export type Part = {
  readonly name: string;
  readonly engine: "llama" | "script";
  readonly nodeArgs: readonly string[];
  /** The account's object is this far away. */
  readonly homeMs: number;
  readonly streams: number;
  readonly lanes: number;
  readonly weather: Weather;
  readonly questions: (dice: Dice, model: string) => readonly Question[];
  readonly spell: Spell;
};

export type Played = {
  readonly books: Books;
  /** The same questions without a blow, by question. */
  readonly undisturbed: ReadonlyMap<string, Stream | undefined>;
  readonly asked: readonly Question[];
  /** How many blows of each kind fell. */
  readonly blows: readonly Kind[];
  readonly settledMs: number;
  /** The platform's folder, where it was to be kept. */
  readonly keptIn: string | undefined;
};

const NODES = 3;
const REGIONS = ["eu", "us"];
const CREDIT_USD = "10000";
const SETTLE_MS = 90_000;
const NANO_PER_USD = 1_000_000_000;
/** A wire's faults, as the verdict counts them. */
const KIND_OF: { readonly [Fault in Struck["fault"]]: Kind } = {
  cut: "cut",
  reset: "cut",
  stall: "stall",
  throttle: "slow",
};

const RowShape = z.object({
  request: z.string(),
  certainty: z.string(),
  completion: z.int(),
  cost: z.int(),
  endings: z
    .string()
    .transform((text) => z.array(z.object({ ended: z.string() })).parse(JSON.parse(text)))
    .transform((attempts) => attempts.map(({ ended }) => ended)),
});

export async function play(
  part: Part,
  dice: Dice,
  { say, keep }: Pick<Settings, "say" | "keep">,
): Promise<Played> {
  const dataDir = await mkdtemp(join(tmpdir(), "sluice-failover-"));
  const hits: Hit[] = [];
  const wires: Kind[] = [];
  const proxies: { readonly name: string; readonly port: number; readonly proxy: TcpProxy }[] = [];
  const onStruck = ({ fault, request, atMs }: Struck): void => {
    wires.push(KIND_OF[fault]);
    hits.push({ kind: KIND_OF[fault], request, atMs });
  };
  const far = { main: "./bench/worker/far-home.ts", vars: farHome(part.homeMs) };
  const platform = await startPlatform({
    engine: part.engine,
    nodeCount: NODES,
    regions: REGIONS,
    port: 0,
    dataDir,
    nodeArgs: part.nodeArgs,
    ...(part.homeMs > 0 ? far : {}),
    front: async ({ name, port }) => {
      const proxy = new TcpProxy(port, onStruck);
      proxies.push({ name, port, proxy });
      return proxy.listen();
    },
  });
  try {
    const api = new Stack(platform);
    const tenant = await api.tenant({ creditUsd: CREDIT_USD, concurrency: 1_000 });
    const caller = { baseUrl: platform.baseUrl, apiKey: tenant.apiKey };
    const questions = part.questions(dice, platform.model);
    say(`${part.name}: ${questions.length} questions undisturbed`);
    const calm = await inLanes(questions, part.lanes, (question) => ask(caller, question));
    const undisturbed = new Map(questions.map((question, i) => [question.content, calm[i]]));

    const victims = platform.nodes.map((node): Victim => {
      const found = proxies.find(({ name }) => name === node.name);
      if (found === undefined) throw new Error(`${node.name} has no proxy`);
      return { node, proxy: found.proxy, healthUrl: `http://127.0.0.1:${found.port}/health` };
    });
    const injector = new Injector(victims, part.weather, { dice, hits, say });
    const asked = Array.from({ length: part.streams }, () => dice.pick(questions));
    say(`${part.name}: ${asked.length} streams, ${part.lanes} at a time`);
    const striking = injector.run();
    const streams = await inLanes(asked, part.lanes, (question) => ask(caller, question));
    injector.stop();
    await striking;
    const settledMs = await settle(api, tenant);
    const balanceNanoUsd = (await api.status(tenant)).balanceNanoUsd;
    const rows = await readRows(platform, tenant, calm.length + streams.length);
    await Promise.all(platform.nodes.map((node) => node.stop()));
    const journal = readJournals(platform.nodes.map((node) => node.dataDir));
    const creditedNanoUsd = Number(CREDIT_USD) * NANO_PER_USD;
    const all = [...calm, ...streams];
    const money = { creditedNanoUsd, balanceNanoUsd };
    const books = { streams: all, journal, rows, hits, spell: part.spell, ...money };
    const keptIn = keep ? dataDir : undefined;
    return { books, undisturbed, asked, blows: [...injector.blows, ...wires], settledMs, keptIn };
  } finally {
    await platform.stop();
    await Promise.all(proxies.map(({ proxy }) => proxy.close()));
    if (!keep) await rm(dataDir, { recursive: true, force: true });
  }
}

function farHome(homeMs: number): Readonly<Record<string, string>> {
  return { BENCH_ACCOUNT_DELAY_MS: String(homeMs), BENCH_ADMISSION: "real" };
}

async function inLanes<Item, Result>(
  items: readonly Item[],
  lanes: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  // One iterator for all: each lane takes the next item that nobody has.
  const rest = items.entries();
  const lane = async (): Promise<void> => {
    for (const [at, item] of rest) results[at] = await work(item);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}

/** Waits until nothing is held any more; says how long that took. */
async function settle(api: Stack, tenant: Tenant): Promise<number> {
  const fromMs = performance.now();
  await api.settled(tenant, SETTLE_MS).catch(() => undefined);
  return performance.now() - fromMs;
}

/** The newest revision of each request, once D1 has as many as were asked for. */
async function readRows(platform: Platform, tenant: Tenant, wanted: number): Promise<readonly Row[]> {
  const db = openD1File(join(platform.dataDir, "worker"));
  try {
    const newest = db.prepare(
      `select request, certainty, completion_tokens as completion, cost_nano_usd as cost, attempts as endings from usage_events as it
       where account = ? and revision = (select max(revision) from usage_events
         where account = it.account and request = it.request)`,
    );
    const read = (): Row[] => newest.all(tenant.account).map((row) => RowShape.parse(row));
    await until(() => read().length >= wanted, SETTLE_MS, 250);
    return read();
  } finally {
    db.close();
  }
}
