/**
 * One Durable Object per region: which of its nodes live, how loaded they are, what they are to do. Fed by beats,
 * asked for its picture of them by the request path and for promises by accounts' objects, told by an admin who belongs here.
 *
 * In SQLite, and so across evictions: the records of the nodes, each one's boot and promise (`complete through`), and
 * an admin's wish. In memory alone: the beats. An eviction forgets them and the next second brings new ones; until then
 * a picture names the nodes whose beats are awaited, so that nobody takes them for gone (snapshot.ts). No alarm; the only
 * outbound I/O are probes, one token of a node that nothing has proven lately (proofs.ts), and no beat waits for them.
 *
 * Invariants: only a node that was `put` and not removed is shown; a fenced beat changes nothing; `completeThrough`
 * never says more than a node has promised, and leaves out no node that may have had a call. To keep that across
 * evictions a node's first promise and any fall are written at once, and a rise at most once in SAVE_INTERVAL_MS: rows
 * written are what an object costs, and an older promise is a smaller one. Workers of the build before and after this one
 * call these methods, too: what that asks of a change stands in core/env.ts.
 */
import type { Beat } from "@sluice/protocol/beat";
import { DurableObject } from "cloudflare:workers";
import type { Env, HeardBeat, RegionRpc, RegionPicture } from "../core/env.ts";
import type { LiveNode, NodeRecord } from "../core/node.ts";
import { secretsOf } from "../core/secrets.ts";
import { believable, isNewer, isReachable, throughFor } from "./fence.ts";
import { BEAT_DEAD_MS, REACHABLE_MS, REMOVED_KEPT_MS, SAVE_INTERVAL_MS } from "./limits.ts";
import { probe } from "./probe.ts";
import { Proofs } from "./proofs.ts";
import { RegionTable, type SavedNode } from "./region-table.ts";
import { commandsFor, stateShown, wishAfter, type Wish } from "./wish.ts";

type Entry = SavedNode & {
  /** The newest beat; undefined after an eviction, until the node speaks again. */
  readonly beat: Beat | undefined;
  readonly savedAtMs: number;
  /** An eviction has forgotten what the node's boot said of its cache. */
  readonly sketchLost: boolean;
};

export class RegionObject extends DurableObject<Env> implements RegionRpc {
  readonly #table: RegionTable;
  readonly #nodes = new Map<string, Entry>();
  readonly #proofs: Proofs;
  readonly #wokeAtMs = Date.now();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#proofs = new Proofs((node, model, nowMs) => probe(secretsOf(env), node, model, nowMs));
    this.#table = new RegionTable(ctx.storage.sql);
    for (const saved of this.#table.all())
      this.#nodes.set(saved.record.id, {
        ...saved,
        beat: undefined,
        savedAtMs: -Infinity,
        sketchLost: saved.last !== undefined,
      });
  }

  async beat(beat: Beat, receivedAtMs: number): Promise<HeardBeat> {
    const known = this.#nodes.get(beat.node);
    if (known === undefined) return { ok: false, why: "unknown_node" };
    if (!isNewer(known.last, beat, receivedAtMs)) return { ok: false, why: "stale" };
    const last = {
      boot: beat.boot,
      seq: beat.seq,
      beatAtMs: receivedAtMs,
      completeThroughMs: believable(beat.completeThroughMs, receivedAtMs),
      journalSinceMs: beat.journalSinceMs,
    };
    const next: Entry = {
      ...known,
      last,
      wish: wishAfter(known.wish, beat.state),
      beat: sketched(beat, known),
      sketchLost: known.sketchLost && known.last?.boot === beat.boot && beat.sketch === undefined,
    };
    this.#keep(next, mustSave(known, next, receivedAtMs), receivedAtMs);
    // What a removed node promises still counts; there is nothing it could be told.
    if (known.removedAtMs !== null) return { ok: false, why: "unknown_node" };
    this.ctx.waitUntil(this.#proofs.heard(liveOf(next.record, beat, next.wish), beat, receivedAtMs));
    const commands = commandsFor(next.wish, beat.state);
    return next.sketchLost ? { ok: true, commands, saySketch: true } : { ok: true, commands };
  }

  async snapshot(): Promise<readonly LiveNode[]> {
    return (await this.picture()).nodes;
  }

  async picture(): Promise<RegionPicture> {
    const nowMs = Date.now();
    const nodes = [...this.#nodes.values()].flatMap(({ record, beat, last, wish, removedAtMs }) => {
      if (beat === undefined || last === undefined || removedAtMs !== null) return [];
      if (nowMs - last.beatAtMs > BEAT_DEAD_MS) return [];
      const proofs = this.#proofs.shown(record.id);
      const { sketch } = beat;
      return [
        {
          ...liveOf(record, beat, wish),
          beatAtMs: last.beatAtMs,
          ...(proofs === undefined ? {} : { proofs }),
          ...(sketch === undefined ? {} : { sketch }),
        },
      ];
    });
    return { nodes, awaited: this.#awaited(nowMs) };
  }

  /** Whoever lives beats once a second: of who has not by then, the object knows no more than of anyone silent so long. */
  #awaited(nowMs: number): string[] {
    if (nowMs - this.#wokeAtMs > BEAT_DEAD_MS) return [];
    return [...this.#nodes.values()].flatMap(({ record, beat, last, removedAtMs }) => {
      if (beat !== undefined || last === undefined || removedAtMs !== null) return [];
      return this.#wokeAtMs - last.beatAtMs > REACHABLE_MS ? [] : [record.id];
    });
  }

  async suspect(node: string, model?: string): Promise<void> {
    const known = this.#nodes.get(node);
    if (known?.beat === undefined || known.removedAtMs !== null) return;
    const live = liveOf(known.record, known.beat, known.wish);
    for (const suspected of model === undefined ? live.models.map(({ id }) => id) : [model])
      this.ctx.waitUntil(this.#proofs.suspect(live, suspected, Date.now()));
  }

  async put(record: NodeRecord): Promise<void> {
    const known = this.#nodes.get(record.id);
    const fresh = { last: undefined, wish: { kind: "none" }, beat: undefined, sketchLost: false } as const;
    const nowMs = Date.now();
    this.#keep({ ...(known ?? fresh), record, removedAtMs: null, savedAtMs: nowMs }, true, nowMs);
    this.#forgetRemoved(nowMs);
  }

  async remove(node: string): Promise<void> {
    const known = this.#nodes.get(node);
    const nowMs = Date.now();
    if (known?.removedAtMs === null) this.#keep({ ...known, removedAtMs: nowMs }, true, nowMs);
    this.#proofs.forget(node);
    this.#forgetRemoved(nowMs);
  }

  async drain(node: string, deadlineMs: number | null): Promise<boolean> {
    const known = this.#nodes.get(node);
    if (known === undefined || known.removedAtMs !== null) return false;
    const wish: Wish = deadlineMs === null ? { kind: "resume" } : { kind: "drain", deadlineMs };
    this.#keep({ ...known, wish }, true, Date.now());
    return true;
  }

  async completeThrough(sinceMs: number): Promise<{ node: string; throughMs: number }[]> {
    return [...this.#nodes.values()].flatMap(({ record, last }) => {
      if (last === undefined) return [];
      const promised = { ...last, lastBeatAtMs: last.beatAtMs };
      if (!isReachable(promised, sinceMs, REACHABLE_MS)) return [];
      return [{ node: record.id, throughMs: throughFor(promised, sinceMs) }];
    });
  }

  #keep(entry: Entry, save: boolean, nowMs: number): void {
    // Storage first: if the write throws, memory still says what storage says.
    if (save) this.#table.save(entry);
    this.#nodes.set(entry.record.id, save ? { ...entry, savedAtMs: nowMs } : entry);
  }

  #forgetRemoved(nowMs: number): void {
    for (const [id, { removedAtMs }] of this.#nodes) {
      if (removedAtMs === null || nowMs - removedAtMs <= REMOVED_KEPT_MS) continue;
      this.#table.delete(id);
      this.#nodes.delete(id);
    }
  }
}

/** A node as its record, its beat and an admin's wish make it. */
function liveOf(record: NodeRecord, beat: Beat, wish: Wish) {
  const { boot, models, load, speaks, callKeyIds } = beat;
  return { ...record, boot, state: stateShown(wish, beat.state), models, load, speaks, callKeyIds };
}

/** A beat that says nothing of what is cached means: as this boot said last. */
function sketched(beat: Beat, { beat: before }: Entry): Beat {
  if (beat.sketch !== undefined || before?.sketch === undefined || before.boot !== beat.boot) return beat;
  return { ...beat, sketch: before.sketch };
}

function mustSave(known: Entry, next: Entry, nowMs: number): boolean {
  const [before, after] = [known.last, next.last];
  return (
    before?.boot !== after?.boot ||
    before?.journalSinceMs !== after?.journalSinceMs ||
    known.wish !== next.wish ||
    (after?.completeThroughMs ?? 0) < (before?.completeThroughMs ?? 0) ||
    nowMs - known.savedAtMs >= SAVE_INTERVAL_MS
  );
}
