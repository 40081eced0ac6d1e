/**
 * Runs changes to the object's storage in groups, so that those that arrive together share one commit. workerd commits
 * at the end of each turn and does not join the turns of concurrent calls; one commit costs as much as the rest of an
 * admission together (docs/decisions/0007). So what arrives while a commit is under way waits for the next turn.
 *
 * That alone joins little where a commit is quicker than the next call is read: then every turn is a turn of one or two.
 * So a turn of many makes the next one wait a moment for its own; who asks alone never waits, and one small turn ends it.
 *
 * Invariants: changes run in the order they came, each wholly inside one turn; nobody is answered from a turn whose
 * changes were rolled back. An idle object runs a change at once.
 */

/** A longer turn would hold up everybody else in the process. */
const GROUP_MAX = 512;
/** An admission and a beat that meet are a coincidence; more at once is load. */
const MANY = 3;

type Change = {
  readonly run: () => void;
  readonly done: () => void;
  readonly fail: (error: unknown) => void;
};

export type GroupSpec = {
  /** Runs `changes` in one transaction; throws, with everything undone, where one of them does. */
  readonly together: (changes: () => void) => void;
  /** Resolves when what was written so far is on disk. */
  readonly committed: () => Promise<void>;
  /** Resolves after the moment that a turn waits for company. */
  readonly gathered: () => Promise<void>;
};

export class GroupCommit {
  readonly #spec: GroupSpec;
  #queue: Change[] = [];
  #busy = false;
  #manyLast = false;

  constructor(spec: GroupSpec) {
    this.#spec = spec;
  }

  /** Resolves with what the change returned. The output gate holds the caller's reply until the commit. */
  run<T>(change: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let value: { readonly of: T } | undefined;
      this.#queue.push({
        run: () => {
          value = { of: change() };
        },
        done: () => {
          if (value !== undefined) resolve(value.of);
        },
        fail: reject,
      });
      if (!this.#busy) void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#busy = true;
    try {
      while (this.#queue.length > 0) {
        if (this.#manyLast) await this.#spec.gathered();
        const group = this.#queue.splice(0, GROUP_MAX);
        this.#manyLast = group.length >= MANY;
        this.#turn(group);
        await this.#spec.committed();
      }
    } catch (error) {
      // A commit that fails takes the whole object with it, and those it already answered with it.
      for (const change of this.#queue.splice(0)) change.fail(error);
    } finally {
      this.#busy = false;
    }
  }

  /** One bad change must not fail its neighbours: where the group fails, each is tried alone. */
  #turn(group: readonly Change[]): void {
    try {
      this.#spec.together(() => {
        for (const change of group) change.run();
      });
    } catch (error) {
      const [only] = group;
      if (group.length === 1) only?.fail(error);
      else for (const change of group) this.#turn([change]);
      return;
    }
    for (const change of group) change.done();
  }
}
