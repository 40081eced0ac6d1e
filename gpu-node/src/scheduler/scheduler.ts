/**
 * Who may use the engine: as many leases as it has slots, a bounded queue in front of them, fair between lanes. Answers
 * that were interrupted elsewhere come first: their readers sit before half a sentence, and each came in its turn once.
 * Invariants: leases out <= slots; nobody waits while a slot is free; a waiter whose signal aborts, or whose time is up,
 * leaves the queue at once. Giving a lease back twice gives it back once.
 */
import { FairQueue } from "./fair-queue.ts";

export type Lease = { readonly release: () => void };

export type Place = { readonly leave: () => void };

type Waiter = { readonly grant: (lease: Lease) => void };

/** The wait for a slot took too long. */
export class NoRoom extends Error {
  override readonly name = "NoRoom";
}

export class Scheduler {
  readonly #interrupted = new FairQueue<Waiter>();
  readonly #fresh = new FairQueue<Waiter>();
  readonly slots: number;
  readonly queueMax: number;
  #busy = 0;
  /** Places given to calls that have not come to the queue yet. */
  #entering = 0;
  #onQuiet: (() => void)[] = [];

  constructor(slots: number, queueMax: number) {
    this.slots = slots;
    this.queueMax = queueMax;
  }

  get busy(): number {
    return this.#busy;
  }

  get queued(): number {
    return this.#interrupted.size + this.#fresh.size;
  }

  /**
   * A place for one more, asked for before anything is journalled, because a call that was accepted is not refused any
   * more; undefined where all are taken. Whoever has one gives it back, having come to the queue or not.
   * For interrupted answers there are as many more places as slots: a neighbour that died had no more of them.
   */
  enter(interrupted = false): Place | undefined {
    const places = this.slots + this.queueMax + (interrupted ? this.slots : 0);
    if (this.#busy + this.queued + this.#entering >= places) return undefined;
    this.#entering += 1;
    let held = true;
    return {
      leave: () => {
        if (held) this.#entering -= 1;
        held = false;
        if (this.#entering === 0) for (const told of this.#onQuiet.splice(0)) told();
      },
    };
  }

  /** Resolves when all who have a place have come to the queue, or have given it back. */
  quiet(): Promise<void> {
    if (this.#entering === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onQuiet.push(resolve));
  }

  /** Rejects with the signal's reason, or with NoRoom after `waitMs`. */
  acquire(lane: string, waitMs: number, signal: AbortSignal, interrupted = false): Promise<Lease> {
    const queue = interrupted ? this.#interrupted : this.#fresh;
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#busy < this.slots) return Promise.resolve(this.#lease());
    return new Promise((resolve, reject) => {
      const leave = (reason: unknown): void => {
        if (queue.remove(lane, waiter)) reject(reason);
        stop();
      };
      const aborted = (): void => leave(signal.reason);
      const timer = setTimeout(() => leave(new NoRoom("no slot came free in time")), waitMs);
      const stop = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", aborted);
      };
      const waiter: Waiter = {
        grant: (lease) => {
          stop();
          resolve(lease);
        },
      };
      signal.addEventListener("abort", aborted, { once: true });
      queue.push(lane, waiter);
    });
  }

  #lease(): Lease {
    this.#busy += 1;
    let held = true;
    return {
      release: () => {
        if (!held) return;
        held = false;
        this.#busy -= 1;
        const next = this.#interrupted.shift() ?? this.#fresh.shift();
        if (next !== undefined) next.grant(this.#lease());
      },
    };
  }
}
