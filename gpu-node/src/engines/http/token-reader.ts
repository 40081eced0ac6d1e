/**
 * From a stream's parts to tokens, one for each position: finds the ids a server did not show, adds the end token it
 * kept to itself, and stops at the ceiling whatever the server does. One per request.
 */
import { idsOfBytes } from "./missing-ids.ts";
import type { Part, Weight } from "./server.ts";
import type { Words } from "./words.ts";

export type Shown = { readonly id: number; readonly weight?: Weight };

export class TokenReader {
  readonly #words: Words;
  readonly #max: number;
  #count = 0;
  #last: number | undefined;

  constructor(words: Words, outputTokensMax: number) {
    this.#words = words;
    this.#max = outputTokensMax;
  }

  get count(): number {
    return this.#count;
  }

  get stopped(): boolean {
    return this.#last !== undefined && this.#words.endTokens.includes(this.#last);
  }

  /** Nothing more is to come. */
  get over(): boolean {
    return this.stopped || this.#count >= this.#max;
  }

  take(part: Part): readonly Shown[] {
    const { ids = [], weights = [] } = part;
    const shown = ids.map((id, at): Shown => {
      const weight = weights[at];
      return weight === undefined ? { id } : { id, weight };
    });
    const [endToken] = this.#words.endTokens;
    const end = part.end === "stop" && !this.#ends(ids) && endToken !== undefined ? [{ id: endToken }] : [];
    const missing = this.#missing(part).map((id): Shown => ({ id }));
    const fresh = [...missing, ...shown, ...end].slice(0, this.#max - this.#count);
    this.#count += fresh.length;
    this.#last = fresh.at(-1)?.id ?? this.#last;
    return fresh;
  }

  #ends(ids: readonly number[]): boolean {
    const last = ids.at(-1) ?? this.#last;
    return last !== undefined && this.#words.endTokens.includes(last);
  }

  #missing({ ids = [], positions, text }: Part): readonly number[] {
    const missing = (positions ?? 0) - this.#count - ids.length;
    if (missing <= 0) return [];
    const { vocabulary } = this.#words;
    const all = Buffer.from(text ?? "", "utf8");
    const shown = ids.reduce((length, id) => length + (vocabulary.bytesOf(id)?.length ?? 0), 0);
    const found = idsOfBytes(all.subarray(0, all.length - shown), missing, (bytes) => this.#idOf(bytes));
    if (found !== undefined) return found;
    // An answer cut inside a character: what came of it cannot be shown, but it was made.
    const [mark = 0] = vocabulary.special;
    return Array.from({ length: missing }, () => this.#last ?? mark);
  }

  /** By its bytes. Asked for a few bytes now and then, so the vocabulary is looked through only once. */
  #idOf(bytes: Uint8Array): number | undefined {
    return bytesIndex(this.#words).get(Buffer.from(bytes).toString("latin1"));
  }
}

const CHARACTER_BYTES_MAX = 4;
const indices = new WeakMap<Words, ReadonlyMap<string, number>>();

/** The ordinary tokens that are no longer than a character. */
function bytesIndex(words: Words): ReadonlyMap<string, number> {
  const known = indices.get(words);
  if (known !== undefined) return known;
  const index = new Map<string, number>();
  for (let id = 0; id < words.vocabulary.size; id++) {
    const bytes = words.vocabulary.bytesOf(id);
    if (bytes === undefined || bytes.length === 0 || bytes.length > CHARACTER_BYTES_MAX) continue;
    index.set(Buffer.from(bytes).toString("latin1"), id);
  }
  indices.set(words, index);
  return index;
}
