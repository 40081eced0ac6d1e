/**
 * The keys of an account: those in use in memory, all of them in their table. A key may have been made by another, which
 * it then never exceeds; its path is itself, its maker, and so on up to the one an operator made.
 */
import { assert } from "../core/assert.ts";
import type { KnownKey } from "./admission.ts";
import type { Store } from "./store.ts";

/** Beyond it they are forgotten and read again. */
const REMEMBERED_MAX = 4_096;
/** Keys above a key, itself included. Each is one more limit to ask in every admission. */
export const PATH_MAX = 4;

export class Keyring {
  readonly #store: Store;
  readonly #keys = new Map<string, KnownKey>();

  constructor(store: Store) {
    this.#store = store;
  }

  get(id: string): KnownKey | undefined {
    const known = this.#keys.get(id);
    if (known !== undefined) return known;
    const read = this.#store.keys.get(id);
    if (this.#keys.size >= REMEMBERED_MAX) this.#keys.clear();
    if (read !== undefined) this.#keys.set(id, read);
    return read;
  }

  put(key: KnownKey): void {
    this.#store.keys.save(key);
    this.#keys.delete(key.id);
  }

  revokeAll(nowMs: number): void {
    this.#store.keys.revokeAll(nowMs);
    this.#keys.clear();
  }

  /** The key first; empty where there is none. */
  path(id: string): readonly KnownKey[] {
    const path: KnownKey[] = [];
    for (
      let key = this.get(id);
      key !== undefined;
      key = key.madeBy === null ? undefined : this.get(key.madeBy)
    ) {
      assert(path.length < PATH_MAX, "no key is made deeper than allowed");
      path.push(key);
    }
    return path;
  }
}
