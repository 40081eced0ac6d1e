/**
 * A queue that is fair between lanes: lanes take turns, and within a lane the first come is the first served. Pure but
 * for its memory; knows nothing of slots and clocks. A lane that has been served goes to the end of the turn order, and
 * an empty lane is forgotten, so memory is what waits and nothing more.
 */
export class FairQueue<Item> {
  /** In turn order: a Map keeps the order of insertion. */
  readonly #lanes = new Map<string, Item[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(lane: string, item: Item): void {
    const waiting = this.#lanes.get(lane);
    if (waiting === undefined) this.#lanes.set(lane, [item]);
    else waiting.push(item);
    this.#size += 1;
  }

  shift(): Item | undefined {
    const next = this.#lanes.entries().next();
    if (next.done === true) return undefined;
    const [lane, waiting] = next.value;
    const item = waiting.shift();
    this.#lanes.delete(lane);
    if (waiting.length > 0) this.#lanes.set(lane, waiting);
    this.#size -= 1;
    return item;
  }

  /** False where it is not there any more. */
  remove(lane: string, item: Item): boolean {
    const waiting = this.#lanes.get(lane);
    const at = waiting?.indexOf(item) ?? -1;
    if (waiting === undefined || at < 0) return false;
    waiting.splice(at, 1);
    if (waiting.length === 0) this.#lanes.delete(lane);
    this.#size -= 1;
    return true;
  }
}
