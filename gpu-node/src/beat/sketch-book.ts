/**
 * Which prompts' beginnings an engine could reuse now, as marks an edge can compute from a client's text (the recipe is
 * protocol/src/sketch.ts). A guess by what slots do: each holds the last prompt that ran in it, so the book keeps as many
 * prompts as there are slots, the least recently used going first. A wrong mark costs a request some milliseconds.
 * No text is kept, only hashes keyed by the isolation tag.
 */
import { marksOf, sketchOf, SKETCH_MARKS_MAX, type Sketch, type Trail } from "@sluice/protocol/sketch";

/** After this many characters an old measurement of their number per token has lost half its weight. */
const HALF_LIFE_CHARS = 20_000;

export class SketchBook {
  readonly #promptsMax: () => number;
  /** Least recently used first; named by its deepest mark. */
  readonly #prompts = new Map<number, Uint32Array>();
  #chars = 0;
  #tokens = 0;
  #version = 0;

  constructor(promptsMax: () => number) {
    this.#promptsMax = promptsMax;
  }

  /** Rises with every change. */
  get version(): number {
    return this.#version;
  }

  /** The engine has evaluated this prompt. */
  note(trail: Trail, tag: string, promptTokens: number): void {
    const { marks, charsTotal } = marksOf(trail, tag);
    const deepest = marks.at(-1);
    if (deepest === undefined) return;
    // A conversation's next turn takes its last turn's place: all of that one's marks are in it.
    for (const [name] of this.#prompts) if (marks.includes(name)) this.#prompts.delete(name);
    this.#prompts.set(deepest, marks);
    for (const [oldest] of this.#prompts) {
      if (this.#prompts.size <= this.#promptsMax()) break;
      this.#prompts.delete(oldest);
    }
    const fade = 0.5 ** (charsTotal / HALF_LIFE_CHARS);
    this.#chars = this.#chars * fade + charsTotal;
    this.#tokens = this.#tokens * fade + promptTokens;
    this.#version += 1;
  }

  /** The engine has lost all it had. */
  clear(): void {
    if (this.#prompts.size === 0) return;
    this.#prompts.clear();
    this.#version += 1;
  }

  /** The newest first and each from its beginning: what does not fit is the end of the oldest. */
  get marks(): readonly number[] {
    return [...this.#prompts.values()].toReversed().flatMap((list) => [...list]);
  }

  /** What its measurement of characters per token is made of. */
  get measured(): { readonly chars: number; readonly tokens: number } {
    return { chars: this.#chars, tokens: this.#tokens };
  }
}

/** One sketch of all books: marks of different models are never equal, and each model has an equal share of the room. */
export function joinSketches(books: readonly SketchBook[]): Sketch {
  const share = Math.floor(SKETCH_MARKS_MAX / Math.max(1, books.length));
  const chars = books.reduce((sum, { measured }) => sum + measured.chars, 0);
  const tokens = books.reduce((sum, { measured }) => sum + measured.tokens, 0);
  return sketchOf(
    books.flatMap(({ marks }) => marks.slice(0, share)),
    clamped(tokens === 0 ? undefined : chars / tokens),
  );
}

function clamped(charsPerToken: number | undefined): number | undefined {
  return charsPerToken === undefined ? undefined : Math.min(100, Math.max(0.1, charsPerToken));
}
