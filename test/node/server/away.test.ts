/** An edge that is away for two hours, in simulated time: what waits, waits on disk, and the file does not grow for ever. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BEAT_BYTES_MAX, BEAT_RECEIPTS_MAX } from "@sluice/protocol/limits";
import { Receipt } from "@sluice/protocol/receipt";
import { describe, expect, onTestFinished, test } from "vitest";
import { Heart } from "../../../gpu-node/src/heart.ts";
import { EdgeSide } from "../../../gpu-node/src/edge-side.ts";
import type { Begun } from "../../../gpu-node/src/journal/journal.ts";
import { Journal } from "../../../gpu-node/src/journal/journal.ts";
import { Receipts } from "../../../gpu-node/src/journal/receipts.ts";
import { openDatabase } from "../../../gpu-node/src/journal/schema.ts";
import { Life } from "../../../gpu-node/src/life.ts";
import { Workshop } from "../../../gpu-node/src/workshop.ts";
import { useNode } from "./support/node.ts";
import { scripted } from "./support/reading.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ATTEMPTS = 2_000;
const IDS = Array.from({ length: 40 }, (_, i) => i);

async function makeAttempts(journal: Journal, name: string): Promise<void> {
  await Promise.all(
    Array.from({ length: ATTEMPTS }, async (_, i) => {
      const id = await journal.begin({
        request: `req_${name}${i}`, ordinal: 0, ticket: `t-${name}-${i}`, issuedAtMs: i, weights: "w", node: "n",
        boot: "b", begunAtMs: i, from: 0, reasoning: 0, prompt: 9, cached: 0,
      }); // prettier-ignore
      if (id === undefined) throw new Error("it was begun before");
      await journal.progress(id, { from: 0, to: IDS.length, reasoning: 0, ids: IDS }, undefined);
      await journal.end(id, "stop", IDS.length, { body: `{"i":${i}}`, sig: "s" });
    }),
  );
}

describe("receipts of two hours", () => {
  test("are told in bounded beats when the edge is back, kept seven days longer, and their room is used again", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-away-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const db = openDatabase(join(folder, "journal.db"));
    const [journal, receipts] = [new Journal(db), new Receipts(db)];
    onTestFinished(() => journal.close());
    await makeAttempts(journal, "A");
    const tellAll = (nowMs: number, name: string): number => {
      let beats = 0;
      for (; receipts.unsettled() > 0; beats++) {
        const due = receipts.due(nowMs, BEAT_RECEIPTS_MAX);
        expect(due.length).toBeLessThanOrEqual(BEAT_RECEIPTS_MAX);
        const names = due.map(({ body }) => ({
          request: `req_${name}${(JSON.parse(body) as { i: number }).i}`,
          ordinal: 0,
          choice: 0,
        }));
        receipts.acknowledge(names, nowMs);
      }
      return beats;
    };
    expect(receipts.unsettled()).toBe(ATTEMPTS);
    expect(tellAll(2 * HOUR_MS, "A")).toBe(ATTEMPTS / BEAT_RECEIPTS_MAX);
    const full = receipts.bytes();
    expect(receipts.prune(2 * HOUR_MS + 7 * DAY_MS - 1)).toBe(0);
    expect(journal.read({ request: "req_A7", ordinal: 0, choice: 0 }, 0, 100)?.tokens).toEqual(IDS);
    for (let round = 0; receipts.prune(2 * HOUR_MS + 7 * DAY_MS + 1) > 0; round++)
      expect(round).toBeLessThan(100);
    await makeAttempts(journal, "B");
    expect(receipts.bytes()).toBeLessThan(full * 1.1);
  });
});

/* ---- a whole node's half of it, on a clock that the test moves ------------------------------------------------------ */

const MIB = 2 ** 20;
const SECOND_MS = 1_000;
/** While its edge is away a node asks again every five seconds. */
const ASKS_EVERY_S = 5;
const EDGE_AHEAD_MS = 777;

type Told = Receipt & { readonly text: string };

/** A node without engines or sockets: journal, receipts and beats, and an edge that is there when the test says so. */
async function simulate(journalBytesMax: number) {
  const folder = mkdtempSync(join(tmpdir(), "sluice-away-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const db = openDatabase(join(folder, "journal.db"));
  let nowMs = 1_000_000_000;
  const now = (): number => nowMs;
  const { privateKey, publicKey } = await newKeys();
  const identity = { node: "node_0123456789", region: "here", publicKey, privateKey };
  const who = { identity, callKeys: [], boot: `boot_${"0".repeat(26)}`, journalBytesMax };
  const side = await EdgeSide.open(db, who, now);
  onTestFinished(() => side.journal.close());
  const logged: string[] = [];
  const log = (event: string): void => void logged.push(event);
  const workshop = new Workshop({ queueMax: 1, queueWaitMs: 1, attemptMsMax: 1 }, log, now);
  onTestFinished(() => workshop.stop());
  const life = new Life({
    wakeMs: () => 0,
    engineReady: () => true,
    clockKnown: () => true,
    onDeadline: () => undefined,
  });
  const keepCallKeys = (): Promise<void> => Promise.resolve();
  const heart = new Heart({
    workshop,
    edge: side,
    life,
    log,
    wallMs: now,
    poke: () => undefined,
    keepCallKeys,
  });

  /** By request, what was said of it, and how often. */
  const told = new Map<string, { readonly text: string; times: number }>();
  const beat = async (answers: (receipts: readonly Told[]) => readonly Told[]): Promise<number> => {
    const composed = { ...heart.compose(), seq: 0 };
    expect(composed.receipts.length).toBeLessThanOrEqual(BEAT_RECEIPTS_MAX);
    expect(JSON.stringify(composed).length).toBeLessThan(BEAT_BYTES_MAX);
    const heard = composed.receipts.map(({ body }) => ({ ...Receipt.parse(JSON.parse(body)), text: body }));
    for (const { request, text } of heard) {
      const before = told.get(request) ?? { text, times: 0 };
      expect(text).toBe(before.text);
      told.set(request, { text, times: before.times + 1 });
    }
    const acks = answers(heard).map(({ request, ordinal }) => ({ request, ordinal, choice: 0 }));
    const edgeTimeMs = nowMs + EDGE_AHEAD_MS;
    const reply = { v: 1, edgeTimeMs, acks, renewed: [], rejected: [], commands: [] } as const;
    await heart.apply(composed, { ...reply, acks: [...acks], renewed: [], rejected: [], commands: [] }, {
      sentAtMs: nowMs, receivedAtMs: nowMs, current: true,
    }); // prettier-ignore
    return acks.length;
  };
  let count = 0;
  const attempts = (many: number): Promise<readonly string[]> =>
    Promise.all(
      Array.from({ length: many }, async () => {
        count += 1;
        const request = `req_${String(count).padStart(26, "0")}`;
        const begun: Begun = {
          request, ordinal: 0, ticket: `t-${count}`, issuedAtMs: side.edgeNowMs ?? 0, weights: "w", node: identity.node,
          boot: who.boot, begunAtMs: side.edgeNowMs ?? 0, from: 0, reasoning: 0, prompt: 9, cached: 0,
        }; // prettier-ignore
        const id = await side.journal.begin(begun);
        if (id === undefined) throw new Error("it was begun before");
        const counts = { prompt: 9, cached: 0, queueMs: 0, prefillMs: 1 };
        await side.journal.progress(id, { from: 0, to: IDS.length, reasoning: 0, ids: IDS }, counts);
        const outcome = { ...counts, ended: "stop", to: IDS.length, reasoning: 0 } as const;
        await side.close(id, begun, outcome, side.edgeNowMs ?? 0);
        return request;
      }),
    );
  return { side, heart, told, beat, attempts, logged, pass: (ms: number) => (nowMs += ms), now };
}

async function newKeys(): Promise<{ privateKey: CryptoKey; publicKey: string }> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  if (!("privateKey" in pair)) throw new Error("Ed25519 keys come in pairs");
  const jwk = await crypto.subtle.exportKey("jwk", pair.privateKey);
  return { privateKey: pair.privateKey, publicKey: jwk.x ?? "" };
}

const all = (receipts: readonly Told[]): readonly Told[] => receipts;

describe("a node whose edge is away for two hours", () => {
  test("keeps every receipt within its bounds, and tells each one, whatever order the edge takes them in", async () => {
    const { side, told, beat, attempts, pass, heart } = await simulate(64 * MIB);
    await beat(all);
    const made: string[] = [];
    for (let second = 0; second < 2 * 3_600; second += ASKS_EVERY_S) {
      made.push(...(await attempts(2)));
      pass(ASKS_EVERY_S * SECOND_MS);
      // Composed, sent, and never answered.
      heart.compose();
    }
    expect(side.receipts.unsettled()).toBe(made.length);
    expect(side.room.look(Number.MAX_SAFE_INTEGER)).toEqual({ full: false, forgotten: 0 });
    expect(side.edgeNowMs).toBe((side.clock.firstReplyMs ?? 0) + 2 * HOUR_MS);
    // Back, and it takes some of each beat, the last ones first; the others come again, later and later.
    let beats = 0;
    for (; side.receipts.unsettled() > 0; beats++) {
      await beat((receipts) => receipts.toReversed().filter((_, at) => beats % 3 !== 0 || at % 2 === 0));
      pass(SECOND_MS);
      expect(beats).toBeLessThan(300);
    }
    expect([...told.keys()].sort()).toEqual(made.sort());
    // Two beats carry what one cannot: nothing was told many times over.
    expect(Math.max(...[...told.values()].map(({ times }) => times))).toBeLessThan(8);
    expect(side.receipts.oldestUnnamedIssuedAtMs()).toBeUndefined();
    expect(side.promise()).toBeGreaterThan((side.edgeNowMs ?? 0) - SECOND_MS);
  });

  test("forgets what was acknowledged longest ago when its journal is full, and then takes no new call", async () => {
    const { side, beat, attempts, pass, logged, now } = await simulate(2 * MIB);
    await beat(all);
    const known = (request = ""): boolean =>
      side.journal.read({ request, ordinal: 0, choice: 0 }, 0, 1) !== undefined;
    const full = (): boolean => side.room.look(now()).full;
    const first = await attempts(300);
    await beat(all);
    pass(SECOND_MS);
    await beat(all);
    expect(side.receipts.unsettled()).toBe(0);
    const waiting: string[] = [];
    while (!full()) {
      waiting.push(...(await attempts(100)));
      pass(SECOND_MS);
      expect(waiting.length).toBeLessThan(10_000);
    }
    // All that could go has gone, the oldest of it first; nothing that waits has.
    expect(known(first[0])).toBe(false);
    expect(waiting.every(known)).toBe(true);
    expect(side.receipts.unsettled()).toBe(waiting.length);
    expect(side.receipts.bytes()).toBeLessThan(3 * MIB);
    // The edge is back: what it acknowledges makes room.
    while (side.receipts.unsettled() > 0) {
      await beat(all);
      pass(SECOND_MS);
    }
    await beat(all);
    expect(full()).toBe(false);
    expect(
      logged.filter((event) => event.startsWith("journal_") && event !== "journal_forgets_early"),
    ).toEqual(["journal_full", "journal_has_room"]);
  });
});

test("a node without room for a receipt says so to the call, and begins nothing", async () => {
  const { url, edge } = await useNode({ journalBytesMax: 1 });
  const refused = await edge.call(url, { body: scripted({ tokens: 1 }) });
  expect([refused.status, await refused.json()]).toMatchObject([503, { refusal: { kind: "journal_full" } }]);
});
