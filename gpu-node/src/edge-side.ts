/**
 * A node's half of what it shares with its edge: who it is, what it has promised, its journal, and the edge's clock.
 * Lives as long as the process; everything that has to outlive it is in the journal and the identity file.
 */
import type { DatabaseSync } from "node:sqlite";
import type { CallKeys } from "@sluice/protocol/call";
import type { CallKeyList } from "@sluice/protocol/enrol";
import { signReceipt, type Receipt } from "@sluice/protocol/receipt";
import { NEWEST } from "@sluice/protocol/version";
import type { Outcome } from "./attempt/plan.ts";
import { completeThrough } from "./beat/complete-through.ts";
import { EdgeClock } from "./beat/edge-clock.ts";
import { isTold } from "./engines/told.ts";
import { importCallKeys, type Identity } from "./identity/identity.ts";
import { Admitting } from "./intake/admitting.ts";
import { Journal, type Begun } from "./journal/journal.ts";
import { Receipts } from "./journal/receipts.ts";
import { JournalRoom } from "./journal/room.ts";

/** A week of a busy node is less; a disk that is meant for it has more. */
const JOURNAL_BYTES_MAX = 4 * 2 ** 30;

export type Who = {
  readonly identity: Identity;
  readonly callKeys: CallKeyList;
  readonly boot: string;
  readonly journalBytesMax?: number;
};

export class EdgeSide {
  readonly identity: Identity;
  readonly boot: string;
  readonly journal: Journal;
  readonly receipts: Receipts;
  readonly room: JournalRoom;
  readonly clock = new EdgeClock();
  readonly admitting = new Admitting();
  readonly #now: () => number;
  #callKeys: CallKeys;
  #callKeyIds: readonly string[];
  #promisedMs: number;

  private constructor(
    db: DatabaseSync,
    { identity, boot, journalBytesMax = JOURNAL_BYTES_MAX }: Omit<Who, "callKeys">,
    now: () => number,
  ) {
    this.identity = identity;
    this.boot = boot;
    this.journal = new Journal(db);
    this.receipts = new Receipts(db);
    this.room = new JournalRoom(this.receipts, journalBytesMax);
    this.#now = now;
    this.#callKeys = new Map();
    this.#callKeyIds = [];
    this.#promisedMs = this.receipts.fact("promised_ms") ?? 0;
  }

  /** Also writes the receipts of attempts that an earlier process died under. */
  static async open(db: DatabaseSync, who: Who, now: () => number): Promise<EdgeSide> {
    const side = new EdgeSide(db, who, now);
    await side.holdCallKeys(who.callKeys);
    await side.#buryTheDead();
    return side;
  }

  get callKeys(): CallKeys {
    return this.#callKeys;
  }

  get callKeyIds(): readonly string[] {
    return this.#callKeyIds;
  }

  async holdCallKeys(list: CallKeyList): Promise<void> {
    this.#callKeys = await importCallKeys(list);
    this.#callKeyIds = [...this.#callKeys.keys()];
  }

  /** Undefined until a beat of this boot has been answered. */
  get edgeNowMs(): number | undefined {
    return this.clock.known ? this.clock.now(this.#now()) : undefined;
  }

  get promisedMs(): number {
    return this.#promisedMs;
  }

  /** The promise for the next beat: kept on disk before anybody hears it. */
  promise(): number {
    const edgeNowMs = this.edgeNowMs;
    if (edgeNowMs === undefined) return this.#promisedMs;
    const through = completeThrough({
      promisedMs: this.#promisedMs,
      edgeNowMs,
      pendingLastValidMs: this.admitting.pending(edgeNowMs),
      oldestUnnamedIssuedAtMs: this.receipts.oldestUnnamedIssuedAtMs(),
    });
    if (through > this.#promisedMs) this.receipts.setFact("promised_ms", through);
    this.#promisedMs = through;
    return through;
  }

  /** Signs and keeps the one receipt of an attempt. */
  async close(id: number, begun: Begun, outcome: Outcome, endedAtMs: number): Promise<void> {
    const { ticket, request, ordinal, node, boot, from, weights, begunAtMs } = begun;
    const { to, ended, prompt, cached, reasoning, queueMs, prefillMs, certainty } = outcome;
    const receipt: Receipt = {
      v: NEWEST,
      ticket,
      request,
      ordinal,
      choice: 0,
      node,
      boot,
      from,
      to,
      ended,
      prompt,
      cached,
      reasoning,
      weights,
      begunAtMs,
      endedAtMs,
      queueMs,
      prefillMs,
      ...(certainty === undefined ? {} : { certainty }),
    };
    await this.journal.end(id, ended, to, await signReceipt(this.identity.privateKey, receipt));
  }

  async #buryTheDead(): Promise<void> {
    for (const dead of this.journal.unfinished()) {
      // When it died nobody knows: after it began, and hardly before the last promise was made.
      const endedAtMs = Math.max(dead.begunAtMs, this.#promisedMs);
      const ended = dead.ends ?? "node_died";
      // What its server would have said is gone with it.
      const certainty = isTold(dead.weights) ? ({ certainty: "estimated" } as const) : {};
      await this.close(dead.id, dead, { ...dead, ...certainty, ended }, endedAtMs);
    }
  }
}
