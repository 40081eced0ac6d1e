/**
 * The consumer of the events queue: brings each account's log into D1, in order, and tells the account's object how far
 * it got. The queue may deliver twice, late or out of order, and may lose everything: the object sends again whatever
 * is not confirmed, so nothing here has to remember.
 *
 * Every message is answered by name. What D1 has is acknowledged. What begins beyond what D1 has waits a moment for the
 * part in between, which another consumer may hold. What D1 refuses is tried again, and lands in the dead-letter queue
 * after ten times, where it is only counted.
 */
import type { AccountEvent, EventBatch } from "@sluice/protocol/account-log";
import { accountObject, type Env } from "../core/env.ts";
import { log, logError } from "../core/log.ts";
import { raiseAlert } from "../db/alerts.ts";
import { applyEvents, readApplied } from "../db/ledger.ts";
import { readBatch } from "./read-batch.ts";

export const DEAD_LETTERS = "sluice-events-dead";
/** What could not be applied, or arrived before what comes first, is looked at again after this. */
const RETRY_S = 2;
/** One transaction takes at most this many events; the rest follows in the next. */
const TRANSACTION_EVENTS_MAX = 100;
/** And about this much text of theirs: D1 takes two megabytes in one parameter, and receipts are long. */
const TRANSACTION_CHARS_MAX = 1_000_000;
/** Of an event without its receipts, or one of its attempts. */
const EVENT_CHARS = 1_000;
/** JSON within JSON: each character may need a backslash before it. */
const QUOTED_MAX = 2;

type Letter = { readonly message: Message; readonly batch: EventBatch };

export async function consumeEvents(queue: MessageBatch, env: Env): Promise<void> {
  if (queue.queue === DEAD_LETTERS) return bury(queue, env);
  const byAccount = new Map<string, Letter[]>();
  for (const message of queue.messages) {
    // A hundred full messages take a while to read: others have a turn in between.
    await scheduler.wait(0);
    const batch = readBatch(message.body);
    if (batch === undefined) {
      // Trying again would not make it readable. The object has its events and sends them again.
      log("event_batch_unreadable", { id: message.id });
      message.ack();
      continue;
    }
    const letters = byAccount.get(batch.account) ?? [];
    letters.push({ message, batch });
    byAccount.set(batch.account, letters);
  }
  if (byAccount.size === 0) return;
  let applied: ReadonlyMap<string, number>;
  try {
    applied = await readApplied(env, [...byAccount.keys()]);
  } catch (error) {
    logError("projection_failed", error, { accounts: byAccount.size });
    for (const { message } of [...byAccount.values()].flat()) message.retry({ delaySeconds: RETRY_S });
    return;
  }
  await Promise.all(
    [...byAccount].map(([account, letters]) => project(env, account, letters, applied.get(account) ?? 0)),
  );
}

/** One account's messages. Never rejects: each message gets its answer. */
async function project(env: Env, account: string, letters: Letter[], through: number): Promise<void> {
  let reached = through;
  try {
    for (const events of consecutive(letters, through)) {
      reached = await applyEvents(env, account, reached, events);
      await raiseWriteOffs(
        env,
        account,
        events.filter(({ seq }) => seq <= reached),
      );
      if (reached < (events.at(-1)?.seq ?? 0)) break;
    }
  } catch (error) {
    logError("projection_failed", error, { account, reached });
  }
  for (const { message, batch } of letters) {
    if ((batch.events.at(-1)?.seq ?? 0) <= reached) message.ack();
    else message.retry({ delaySeconds: RETRY_S });
  }
  try {
    if (reached > 0) await accountObject(env, account).applied(reached);
  } catch (error) {
    // The object sends again what it has not heard to be applied, and is told then.
    logError("applied_unheard", error, { account, reached });
  }
}

/** The events right after `through`, without gap or repetition, in portions for one transaction each. */
function consecutive(letters: readonly Letter[], through: number): AccountEvent[][] {
  const events = letters.flatMap(({ batch }) => batch.events).sort((a, b) => a.seq - b.seq);
  const portions: AccountEvent[][] = [];
  let portion: AccountEvent[] = [];
  let chars = 0;
  let next = through + 1;
  for (const event of events) {
    if (event.seq < next) continue;
    if (event.seq > next) break;
    if (portion.length === TRANSACTION_EVENTS_MAX || chars > TRANSACTION_CHARS_MAX) {
      portion = [];
      chars = 0;
    }
    if (portion.length === 0) portions.push(portion);
    portion.push(event);
    chars += charsOf(event);
    next++;
  }
  return portions;
}

/** Of an event in D1's parameter, rather too many: printing each to count them costs as much as sending it. */
function charsOf(event: AccountEvent): number {
  let chars = EVENT_CHARS;
  if (event.kind === "usage")
    for (const { receipt } of event.attempts)
      chars += EVENT_CHARS + (receipt === undefined ? 0 : QUOTED_MAX * receipt.body.length);
  return chars;
}

async function raiseWriteOffs(env: Env, account: string, events: readonly AccountEvent[]): Promise<void> {
  const last = events.findLast((event) => event.kind === "usage" && event.writeOffNanoUsd > 0);
  if (last?.kind !== "usage") return;
  const detail = `${last.request}: ${last.writeOffNanoUsd} nano-dollars in all`;
  await raiseAlert(env, { kind: "write_off", subject: account, detail }, Date.now());
}

async function bury(queue: MessageBatch, env: Env): Promise<void> {
  for (const message of queue.messages) {
    const batch = readBatch(message.body);
    const account = batch?.account;
    const seqs = batch?.events.map(({ seq }) => seq) ?? [];
    logError("event_batch_dead", new Error("ten tries did not bring these events into D1"), {
      account,
      from: seqs[0],
      to: seqs.at(-1),
    });
    if (account !== undefined)
      await raiseAlert(
        env,
        { kind: "dead_letter", subject: account, detail: `events ${seqs[0]} to ${seqs.at(-1)}` },
        Date.now(),
      );
    message.ack();
  }
}
