/** What happens next: things to do by their time, in the order they were put in where times are equal. */

type Entry = { readonly atMs: number; readonly turn: number; readonly run: () => void };

export class Agenda {
  readonly #heap: Entry[] = [];
  #turns = 0;

  get nextAtMs(): number {
    return this.#heap[0]?.atMs ?? Infinity;
  }

  put(atMs: number, run: () => void): void {
    const heap = this.#heap;
    const entry = { atMs, turn: this.#turns++, run };
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, entry)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  /** Takes out the next thing to do. */
  take(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const [left, right] = [heap[child], heap[child + 1]];
      if (left !== undefined && right !== undefined && isBefore(right, left)) child++;
      const least = heap[child];
      if (least === undefined || isBefore(last, least)) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.turn < b.turn);
}
