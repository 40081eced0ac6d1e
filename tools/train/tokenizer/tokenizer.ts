/**
 * A byte-level BPE tokenizer with DeepSeek's special tokens: encode, decode, and what a GGUF stores of it.
 *
 * Ids: BOS, EOS, PAD, then 256 bytes, then one token per merge in rank order, then the other special tokens. A file
 * needs only the merges; everything else follows. Digits never merge, so every number is spelled out digit by digit.
 */
import { at } from "../at.ts";
import { FIRST_TOKENS, LAST_TOKENS } from "../template.ts";
import { BYTE_TO_CHAR, fromAlphabet, toAlphabet } from "./bytes.ts";
import { splitPieces } from "./split.ts";

export type Merge = readonly [string, string];

export class Tokenizer {
  readonly merges: readonly Merge[];
  readonly tokens: readonly string[];
  /** GGUF token types: 1 normal, 3 control, 4 user-defined. */
  readonly types: readonly number[];
  readonly #ids: ReadonlyMap<string, number>;
  readonly #ranks: ReadonlyMap<string, number>;
  readonly #special: RegExp;
  readonly #cache = new Map<string, readonly number[]>();

  constructor(merges: readonly Merge[]) {
    const normal = [...BYTE_TO_CHAR, ...merges.map(([left, right]) => left + right)];
    this.merges = merges;
    this.tokens = [...FIRST_TOKENS.map((t) => t.text), ...normal, ...LAST_TOKENS.map((t) => t.text)];
    this.types = [
      ...FIRST_TOKENS.map((t) => t.type),
      ...normal.map(() => 1),
      ...LAST_TOKENS.map((t) => t.type),
    ];
    this.#ids = new Map(this.tokens.map((text, id) => [text, id]));
    this.#ranks = new Map(merges.map((pair, rank) => [pair.join(" "), rank]));
    // None of the special tokens holds a character that a pattern would read as anything but itself.
    this.#special = new RegExp(
      `(${[...FIRST_TOKENS, ...LAST_TOKENS].map((t) => t.text.replace("/", "\\/")).join("|")})`,
      "u",
    );
  }

  get size(): number {
    return this.tokens.length;
  }

  id(token: string): number {
    const id = this.#ids.get(token);
    if (id === undefined) throw new Error(`no token ${token}`);
    return id;
  }

  /** Special tokens in the text become their ids: for text this program renders, never for what a user typed. */
  encode(text: string): number[] {
    const parts = text.split(this.#special);
    return parts.flatMap((part, i) => (i % 2 === 1 ? [this.id(part)] : this.encodePlain(part)));
  }

  encodePlain(text: string): number[] {
    return splitPieces(text).flatMap((piece) => this.#encodePiece(piece));
  }

  decode(ids: ArrayLike<number>): string {
    const parts = Array.from(ids, (id) => {
      const token = at(this.tokens, id);
      return at(this.types, id) === 1 ? fromAlphabet(token) : Buffer.from(token, "utf8");
    });
    return Buffer.concat(parts).toString("utf8");
  }

  #encodePiece(piece: string): readonly number[] {
    const known = this.#cache.get(piece);
    if (known) return known;
    const symbols = Array.from(toAlphabet(piece));
    for (;;) {
      let best = -1;
      let bestRank = Infinity;
      for (let i = 0; i + 1 < symbols.length; i++) {
        const rank = this.#ranks.get(`${at(symbols, i)} ${at(symbols, i + 1)}`);
        if (rank !== undefined && rank < bestRank) [best, bestRank] = [i, rank];
      }
      if (best < 0) break;
      symbols.splice(best, 2, at(symbols, best) + at(symbols, best + 1));
    }
    const ids = symbols.map((symbol) => this.id(symbol));
    if (this.#cache.size < 100_000) this.#cache.set(piece, ids);
    return ids;
  }
}

export interface TokenizerFile {
  readonly merges: readonly string[];
}

export function tokenizerFromFile(file: TokenizerFile): Tokenizer {
  return new Tokenizer(
    file.merges.map((line) => {
      const space = line.indexOf(" ");
      return [line.slice(0, space), line.slice(space + 1)] as const;
    }),
  );
}
