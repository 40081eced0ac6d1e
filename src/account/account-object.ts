/**
 * One Durable Object per account: the single place where its money is decided. Every admission, extension, word and
 * receipt of the account passes through here, and books.ts keeps the sums.
 *
 * All state is in SQLite; memory repeats it (books.ts), and an eviction or a crash loses only who was waiting. Changes run
 * in turns, one commit each (group-commit.ts); the output gate lets no answer out before its turn is on disk. The alarm is
 * idempotent: it reviews the holds that are due and sends events that D1 has not confirmed.
 */
import type {
  AdmitAsk,
  AdmitVerdict,
  ExtendAsk,
  ExtendVerdict,
  SettleAnswer,
  SettleAsk,
  Word,
  WordAck,
} from "@sluice/protocol/account";
import type { AttemptName } from "@sluice/protocol/beat";
import { toHex } from "@sluice/protocol/bytes";
import { DurableObject } from "cloudflare:workers";
import type {
  AccountSettings,
  AccountStatus,
  CreditAnswer,
  CreditGiven,
  KeyChange,
  KeyDeedAnswer,
  KeyDeedAsk,
  KeyRotation,
  KeySettings,
  KeyStatus,
  LogAfter,
  LookAnswer,
  LookAsk,
} from "../core/account.ts";
import { assert } from "../core/assert.ts";
import type { AccountRpc, Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import { ACCOUNT } from "./admission.ts";
import { admit, extend, needsOf } from "./admit.ts";
import { Books } from "./books.ts";
import { eraseStorage, isErasable, retire } from "./ending.ts";
import { parseClocks, type Clocks } from "./clocks.ts";
import type { Hold } from "./facts.ts";
import { nextEndMs } from "./grants.ts";
import { hearReceipt, hearRenewal, hearWord, review } from "./hear.ts";
import { GroupCommit } from "./group-commit.ts";
import { doAsKey } from "./key-deeds.ts";
import { changeKey, keyStatus, putKey, revokeKey, rotateKey } from "./keys.ts";
import { Line, type Waiting } from "./line.ts";
import { askPromises } from "./promises.ts";
import { Sender } from "./sender.ts";
import { configured } from "./settings.ts";
import { accountStatus, logAfter, lookAnswer, underWay } from "./status.ts";
import { Sql } from "./sql.ts";
import { Store } from "./store.ts";
import { isStrikable, struckOut, type Promises } from "./strike.ts";

/** Holds looked at in one alarm; the rest follows in the next, a moment later. */
const REVIEWS_MAX = 200;
const AGAIN_MS = 50;
/** How long a commit waits for company, where the one before had some. */
const GATHER_MS = 1;

export class AccountObject extends DurableObject<Env> implements AccountRpc {
  readonly #clocks: Clocks;
  readonly #sql: Sql;
  #sender: Sender;
  readonly #line = new Line<AdmitAsk>();
  readonly #group: GroupCommit;
  #books: Books;
  readonly #current = (): Books => this.#books;
  /** When the alarm rings; null where none is set. */
  #alarmAtMs: number | null = null;
  #lineTimer: number | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#clocks = parseClocks(env);
    this.#sql = new Sql(ctx.storage.sql);
    this.#sender = new Sender(env.EVENTS, this.#clocks);
    this.#books = this.#open();
    this.#group = new GroupCommit({
      together: (changes) => this.#together(changes),
      committed: () => ctx.storage.sync(),
      gathered: () => scheduler.wait(GATHER_MS),
    });
    void ctx.blockConcurrencyWhile(async () => {
      this.#alarmAtMs = await ctx.storage.getAlarm();
    });
    if (this.#books.account !== undefined) this.#sender.soon(this.#current);
  }

  #open(): Books {
    return new Books(new Store(this.#sql, this.#clocks.logKeepMs), this.#clocks);
  }

  /* ---- what Workers ask ------------------------------------------------------------------------------------- */

  async admit(ask: AdmitAsk): Promise<AdmitVerdict> {
    return new Promise((answer) => {
      const untilMs = Date.now() + this.#clocks.admitWaitMs;
      const scopes = [ACCOUNT, ...this.#books.keyring.path(ask.key.id).map(({ id }) => id)];
      const waiting: Waiting<AdmitAsk> = { ask, scopes, untilMs, answer };
      this.#line.join(waiting);
      // The turn serves the line; this only asks for one.
      this.#group
        .run(() => undefined)
        .catch((error: unknown) => {
          logError("admission_failed", error, { account: ask.account });
          this.#line.leave(waiting);
          answer({ ok: false, refusal: { kind: "storage_unavailable" } });
        });
    });
  }

  async extend(ask: ExtendAsk): Promise<ExtendVerdict> {
    return this.#group.run(() => extend(this.#books, ask, Date.now()));
  }

  async word(word: Word): Promise<WordAck> {
    return this.#group.run(() => hearWord(this.#books, word, Date.now()));
  }

  async settle(ask: SettleAsk): Promise<SettleAnswer> {
    return this.#group.run(() => {
      const nowMs = Date.now();
      const flagged = ask.receipts.flatMap((receipt) => hearReceipt(this.#books, receipt, nowMs) ?? []);
      for (const renewal of ask.renew) hearRenewal(this.#books, renewal, nowMs);
      return {
        acks: ask.receipts.map(({ receipt }) => nameOf(receipt)),
        renewed: ask.renew.map(nameOf),
        ...(flagged.length > 0 ? { flagged } : {}),
      };
    });
  }

  async applied(through: number): Promise<void> {
    await this.#group.run(() => {
      this.#books.purse.appliedSeq = through;
      this.#books.store.log.trim(Date.now());
    });
  }

  /* ---- what an operator sets -------------------------------------------------------------------------------- */

  async configure(settings: AccountSettings): Promise<void> {
    const salt = crypto.getRandomValues(new Uint8Array(16));
    await this.#group.run(() => {
      this.#books.purse.change(configured(this.#books.account, settings, salt));
      if (settings.cache !== undefined) this.#books.answers.set(null, settings.cache);
    });
  }

  async putKey(key: KeySettings): Promise<void> {
    await this.#group.run(() => putKey(this.#books, key));
  }

  async changeKey(keyId: string, change: KeyChange): Promise<boolean> {
    return this.#group.run(() => changeKey(this.#books, keyId, change));
  }

  async rotateKey(keyId: string, rotation: KeyRotation): Promise<boolean> {
    return this.#group.run(() => rotateKey(this.#books, keyId, rotation, Date.now()));
  }

  async forgetAnswers(model: string | null): Promise<void> {
    const salt = toHex(crypto.getRandomValues(new Uint8Array(16)));
    await this.#group.run(() => {
      const { account, answers } = this.#books;
      assert(account !== undefined, "answers belong to an account that exists");
      if (model === null || !answers.purge(model, salt))
        this.#books.purse.change({ ...account, cacheSalt: salt });
    });
  }

  async retire(): Promise<boolean> {
    return this.#group.run(() => retire(this.#books, Date.now()));
  }

  async erase(): Promise<boolean> {
    if (!isErasable(this.#books)) return false;
    await eraseStorage(this.ctx.storage);
    this.#alarmAtMs = null;
    this.#books = this.#open();
    // How far the old log was sent says nothing of a new one.
    this.#sender = new Sender(this.env.EVENTS, this.#clocks);
    return true;
  }

  async revokeKey(keyId: string): Promise<boolean> {
    return this.#group.run(() => revokeKey(this.#books, keyId, Date.now()));
  }

  async doAsKey(ask: KeyDeedAsk): Promise<KeyDeedAnswer> {
    return this.#group.run(() => doAsKey(this.#books, ask, Date.now()));
  }

  async keyStatus(keyId: string): Promise<KeyStatus | null> {
    const key = this.#books.keyring.get(keyId);
    return key === undefined ? null : keyStatus(this.#books, key, Date.now());
  }

  async credit(credit: CreditGiven): Promise<CreditAnswer> {
    return this.#group.run(() => {
      const given = this.#books.credit(credit, Date.now());
      const balanceNanoUsd = this.#books.account?.balanceNanoUsd ?? 0;
      return given === "given" || given === "given_before"
        ? { balanceNanoUsd }
        : { balanceNanoUsd, refused: given };
    });
  }

  async look(ask: LookAsk): Promise<LookAnswer> {
    const status = await this.status();
    // After the wait: a turn that failed meanwhile has replaced the books.
    return lookAnswer(this.#books, ask, status, Date.now());
  }

  async logAfter(seq: number): Promise<LogAfter | null> {
    return this.#group.run(() => logAfter(this.#books, seq));
  }

  async underWay(requests: readonly string[]): Promise<string[]> {
    return this.#group.run(() => underWay(this.#books, requests));
  }

  async status(): Promise<AccountStatus | null> {
    const holds = await this.#group.run(() => this.#books.store.holds.count());
    return accountStatus(this.#books, holds, Date.now());
  }

  /** Rows written since the object woke: what tests of cost read. */
  get rowsWritten(): number {
    return this.#sql.rowsWritten;
  }

  /* ---- turns ------------------------------------------------------------------------------------------------ */

  #together(changes: () => void): void {
    const nowMs = Date.now();
    try {
      const { served, finished } = this.ctx.storage.transactionSync(() => {
        this.#books.endGrants(nowMs);
        changes();
        // Again: what a closing has just freed of a grant that is over must not be spent by whoever waits.
        this.#books.endGrants(nowMs);
        const served = this.#line.serve(nowMs, {
          attempt: (ask) => admit(this.#books, ask, nowMs),
          needs: (ask) => needsOf(this.#books, ask),
        });
        return { served, finished: this.#books.finishTurn() };
      });
      this.#line.keep(served);
      if (finished.dueAtMs !== null) this.#wakeBy(finished.dueAtMs);
      if (finished.newEvents) {
        this.#wakeBy(nowMs + this.#clocks.resendMs);
        this.#sender.soon(this.#current);
      }
      this.#callLineBy(this.#line.nextAtMs);
    } catch (error) {
      // Storage has undone the turn; memory has not.
      this.#books = this.#open();
      throw error;
    }
  }

  /** The admissions that wait are answered when their time is up, though nothing else happens. */
  #callLineBy(atMs: number | null): void {
    if (atMs === null || this.#lineTimer !== null) return;
    this.#lineTimer = setTimeout(
      () => {
        this.#lineTimer = null;
        this.#group.run(() => undefined).catch((error: unknown) => logError("line_failed", error));
      },
      Math.max(1, atMs - Date.now()),
    );
  }

  #wakeBy(atMs: number): void {
    if (this.#alarmAtMs !== null && this.#alarmAtMs <= atMs) return;
    this.#alarmAtMs = atMs;
    this.ctx.waitUntil(this.ctx.storage.setAlarm(atMs));
  }

  /* ---- the alarm -------------------------------------------------------------------------------------------- */

  override async alarm(): Promise<void> {
    this.#alarmAtMs = null;
    const due = this.#books.store.holds.due(Date.now(), REVIEWS_MAX);
    try {
      await this.#review(due);
      await this.#sender.now(this.#current);
    } finally {
      // Also where something failed: nobody else would ring again.
      this.#armAgain(due.length === REVIEWS_MAX);
    }
  }

  async #review(due: readonly Hold[]): Promise<void> {
    const lapsed = due.filter((hold) => isStrikable(hold, Date.now()));
    const promises = lapsed.length === 0 ? new Map<string, Promises>() : await askPromises(this.env, lapsed);
    const asked = new Set(lapsed.map(({ request }) => request));
    // Everything is read again in the turn: what came in while the regions were asked counts.
    await this.#group.run(() => {
      const nowMs = Date.now();
      for (const { request } of due) {
        const hold = this.#books.store.holds.get(request);
        if (hold === undefined) continue;
        const strikable = asked.has(request) && isStrikable(hold, nowMs);
        review(this.#books, hold, nowMs, strikable ? struckOut(hold, promises) : new Set());
      }
      this.#books.store.log.trim(nowMs);
      this.#books.repeats.prune(nowMs);
    });
  }

  #armAgain(more: boolean): void {
    const nowMs = Date.now();
    const dueAtMs = more ? nowMs : this.#books.store.holds.nextDueMs();
    if (dueAtMs !== null) this.#wakeBy(Math.max(dueAtMs, nowMs + AGAIN_MS));
    const grantEndMs = nextEndMs(this.#books.account?.grants ?? [], nowMs);
    if (grantEndMs !== null) this.#wakeBy(grantEndMs);
    const { pruneAtMs } = this.#books.repeats;
    if (pruneAtMs !== null) this.#wakeBy(Math.max(pruneAtMs, nowMs + AGAIN_MS));
    const unsent = (this.#books.account?.lastSeq ?? 0) > this.#books.purse.appliedSeq;
    if (unsent) this.#wakeBy(nowMs + this.#clocks.resendMs);
  }
}

function nameOf(attempt: {
  readonly request: string;
  readonly ordinal: number;
  readonly choice?: number;
}): AttemptName {
  return { request: attempt.request, ordinal: attempt.ordinal, choice: attempt.choice ?? 0 };
}
