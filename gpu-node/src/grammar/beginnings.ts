/**
 * Which references a reference's text may begin with. One that comes round to itself there says nothing at all: no text is
 * ever made by it, and llama.cpp refuses such a grammar. One per schema.
 */
export class Beginnings {
  readonly #of = new Map<string, Set<string>>();
  /** The reference whose text begins here. */
  #within: string | undefined;

  /** Whether `ref` may stand here. */
  add(ref: string): boolean {
    const within = this.#within;
    if (within === undefined) return true;
    const beginnings = this.#of.get(within) ?? new Set();
    this.#of.set(within, beginnings.add(ref));
    const reached = new Set([ref]);
    // A set is gone through with what is added meanwhile.
    for (const each of reached) for (const next of this.#of.get(each) ?? []) reached.add(next);
    return !reached.has(within);
  }

  /** `ref`: what is made is its text; undefined: other text stands before it. */
  inside<Made>(ref: string | undefined, make: () => Made): Made {
    const before = this.#within;
    this.#within = ref;
    const made = make();
    this.#within = before;
    return made;
  }
}
