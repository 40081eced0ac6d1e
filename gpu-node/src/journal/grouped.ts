/**
 * One commit for all that is written in one turn of the event loop: a decode step moves every running attempt, and a
 * transaction costs more than the rows in it. Work is done in the order it was given; a result is told only after the
 * commit. A failed commit fails all of its work: nothing that was not journalled may look as if it were.
 */
import type { DatabaseSync } from "node:sqlite";

type Job = { readonly run: () => void; readonly done: () => void; readonly fail: (error: unknown) => void };

export class GroupedWrites {
  readonly #db: DatabaseSync;
  #jobs: Job[] = [];

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** `work` runs later in this turn of the loop, synchronously, inside the group's transaction. */
  write<Result>(work: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      let result: { readonly value: Result } | undefined;
      const run = (): void => {
        result = { value: work() };
      };
      const done = (): void => {
        if (result !== undefined) resolve(result.value);
      };
      if (this.#jobs.length === 0) setImmediate(() => this.flush());
      this.#jobs.push({ run, done, fail: reject });
    });
  }

  flush(): void {
    const jobs = this.#jobs;
    this.#jobs = [];
    if (jobs.length === 0) return;
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      for (const job of jobs) job.run();
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isOpen && this.#db.isTransaction) this.#db.exec("ROLLBACK");
      for (const job of jobs) job.fail(error);
      return;
    }
    for (const job of jobs) job.done();
  }
}
