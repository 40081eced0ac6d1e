/**
 * What a beat of this node says, and what a reply makes it do. Between the loop (beats.ts) and everything else that has
 * a part in it: the journal, the clock, what runs, the call keys, the drain.
 */
import type { Beat, BeatReply, Command } from "@sluice/protocol/beat";
import type { CallKeyList } from "@sluice/protocol/enrol";
import { BEAT_RECEIPTS_MAX, BEAT_RENEWALS_MAX } from "@sluice/protocol/limits";
import { openBody, type ReceiptName } from "./beat/receipt-name.ts";
import { NEWEST, SPOKEN } from "@sluice/protocol/version";
import { nameKey } from "./attempt/running.ts";
import type { EdgeSide } from "./edge-side.ts";
import type { DueReceipt } from "./journal/receipts.ts";
import type { Life } from "./life.ts";
import type { Log } from "./log.ts";
import type { Workshop } from "./workshop.ts";
import type { Composed } from "./beat/beats.ts";
import { fill } from "./beat/compose.ts";
import { SketchTiming } from "./beat/sketch-timing.ts";

export type HeartTools = {
  readonly workshop: Workshop;
  readonly edge: EdgeSide;
  readonly life: Life;
  readonly log: Log;
  /** The wall clock. */
  readonly wallMs: () => number;
  readonly poke: () => void;
  readonly keepCallKeys: (keys: CallKeyList) => Promise<void>;
};

export class Heart {
  readonly #tools: HeartTools;
  /** The receipts in the beat in flight. */
  #sent: readonly DueReceipt[] = [];
  #more = false;
  /** The journal was, at the last beat. */
  #full = false;
  readonly #sketchTiming = new SketchTiming();

  constructor(tools: HeartTools) {
    this.#tools = tools;
  }

  compose(): Composed {
    const { workshop, edge, life, wallMs } = this.#tools;
    this.#lookForRoom();
    // The promise comes before the lists: what begins in between is not covered by it.
    const completeThroughMs = edge.promise();
    const due = edge.receipts.due(wallMs(), BEAT_RECEIPTS_MAX);
    const filled = fill(due, workshop.running.renewals(workshop.now(), BEAT_RENEWALS_MAX), {
      receipt: ({ body, sig }) => ({ body, sig }),
      renewal: (renewal) => renewal,
    });
    this.#sent = filled.receipts;
    this.#more = due.length === BEAT_RECEIPTS_MAX || filled.receipts.length < due.length;
    return {
      v: NEWEST,
      speaks: SPOKEN,
      node: edge.identity.node,
      boot: edge.boot,
      sentAtMs: wallMs(),
      state: life.state,
      models: [...workshop.models],
      load: workshop.load,
      receipts: filled.receipts.map(({ body, sig }) => ({ body, sig })),
      renew: [...filled.renewals],
      completeThroughMs,
      // Unknown until the first reply, and then the safe side: later than it was.
      journalSinceMs: edge.receipts.fact("journal_since_ms") ?? wallMs(),
      callKeyIds: [...edge.callKeyIds],
      ...(this.#sketchTiming.due(workshop.sketchVersion, workshop.now()) ? { sketch: workshop.sketch } : {}),
    };
  }

  #lookForRoom(): void {
    const { edge, workshop, log } = this.#tools;
    const { full, forgotten } = edge.room.look(workshop.now());
    if (forgotten > 0) log("journal_forgets_early", { attempts: forgotten });
    if (full !== this.#full)
      log(full ? "journal_full" : "journal_has_room", { bytes: edge.receipts.usedBytes() });
    this.#full = full;
  }

  async apply(
    _beat: Beat,
    reply: BeatReply,
    { sentAtMs, receivedAtMs, current }: { sentAtMs: number; receivedAtMs: number; current: boolean },
  ): Promise<void> {
    const { workshop, edge, log, wallMs, poke, keepCallKeys } = this.#tools;
    const { receipts } = edge;
    receipts.acknowledge(reply.acks, wallMs());
    if (reply.rejected.length > 0) {
      receipts.reject(reply.rejected, wallMs());
      log("receipts_rejected", { count: reply.rejected.length, why: reply.rejected.map(({ why }) => why) });
    }
    const answered = new Set(reply.acks.map(nameKey));
    const rejected = new Set(reply.rejected.map(({ ticket }) => ticket));
    const inVain = this.#sent.filter(({ body }) => !isAnswered(openBody(body), answered, rejected));
    if (inVain.length > 0)
      receipts.postpone(
        inVain.map(({ attempt }) => attempt),
        wallMs(),
      );
    if (!current) return;
    this.#sketchTiming.answered(reply.saySketch);
    edge.clock.learn(reply.edgeTimeMs, sentAtMs, receivedAtMs);
    if (receipts.fact("journal_since_ms") === undefined)
      receipts.setFact("journal_since_ms", reply.edgeTimeMs);
    receipts.markNamed(reply.renewed);
    workshop.running.renewed(reply.renewed, workshop.now());
    for (const command of reply.commands) this.#obey(command);
    if (reply.callKeys !== undefined) {
      await edge.holdCallKeys(reply.callKeys);
      await keepCallKeys(reply.callKeys);
      log("call_keys_changed", { ids: edge.callKeyIds });
    }
    if (this.#more) poke();
  }

  #obey(command: Command): void {
    const { workshop, edge, life, log } = this.#tools;
    log("command", { do: command.do });
    switch (command.do) {
      case "drain":
        life.drain(command.deadlineMs - (edge.edgeNowMs ?? command.deadlineMs));
        break;
      case "resume_service":
        life.resumeService();
        break;
      case "abort":
        workshop.running.stop(nameKey(command.attempt), "client_gone");
        break;
    }
  }
}

function isAnswered(
  name: ReceiptName,
  acknowledged: ReadonlySet<string>,
  rejected: ReadonlySet<string>,
): boolean {
  return acknowledged.has(nameKey(name)) || rejected.has(name.ticket);
}
