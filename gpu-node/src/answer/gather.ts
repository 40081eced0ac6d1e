/**
 * Gathers what tokens say between two writes: neighbouring pieces of one channel become one piece. Pure bookkeeping of
 * positions: each piece knows the ids of the positions it adds; a token without text of its own goes along with the next
 * text, so that the ids of all pieces in order are the ids of all positions in order. Where a request has several choices,
 * their positions are counted together, in the order they come.
 *
 * Owned by one attempt; bounded by its output ceiling, which is what lets a slow reader never hold up an engine.
 */
import type { Logprobs, Token } from "../engines/engine.ts";
import type { Delta } from "./reduce.ts";

/** A longer piece is not made: for a reader that fell behind, what it has taken is known this finely. */
const PIECE_CHARS_MAX = 4_096;

/** A token and what it cost the model to say it. */
export type Weighed = { readonly bytes: Uint8Array; readonly logprobs: Logprobs };

export type Piece = {
  /** Which of the request's answers. */
  readonly choice: number;
  readonly delta: Delta;
  readonly ids: readonly number[];
  /** Positions of the request once this piece is handed over. */
  readonly to: number;
  /** How many of those were thinking. */
  readonly reasoning: number;
  /** Of the tokens this piece adds that have text; empty where nobody asked. */
  readonly weighed: readonly Weighed[];
};

type OpenPiece = {
  choice: number;
  delta: Delta;
  ids: number[];
  to: number;
  reasoning: number;
  weighed: Weighed[];
};

export class Gather {
  #pieces: OpenPiece[] = [];
  /** Positions that show nothing, waiting for text to go with. */
  #carried: number[] = [];
  readonly #weighed = new Map<number, Weighed[]>();
  #to: number;
  #reasoning: number;
  readonly #positionsMax: number;

  /** Beyond `positionsMax` text has no positions: where tokens are stand-ins there may be more of them than the server counts. */
  constructor(from: number, reasoning: number, positionsMax = Number.POSITIVE_INFINITY) {
    this.#to = from;
    this.#reasoning = reasoning;
    this.#positionsMax = positionsMax;
  }

  /** A token's position, and what it showed; `reasoning`: how many positions it added to the thinking. */
  add(choice: number, token: Token, deltas: readonly Delta[], reasoning: number): void {
    if (this.#to < this.#positionsMax) {
      this.#to += 1;
      this.#reasoning += reasoning;
      this.#carried.push(token.id);
    }
    if (token.logprobs !== undefined && token.bytes.length > 0)
      this.#weigh(choice).push({ bytes: token.bytes, logprobs: token.logprobs });
    for (const delta of deltas) this.#show(choice, delta);
  }

  get hasText(): boolean {
    return this.#pieces.length > 0;
  }

  get to(): number {
    return this.#to;
  }

  get reasoning(): number {
    return this.#reasoning;
  }

  /** The oldest pieces, at most `countMax`; what has no text stays for the next. */
  take(countMax: number): readonly Piece[] {
    return this.#pieces.splice(0, countMax);
  }

  /** The positions no piece took along. */
  takeCarried(): number[] {
    const carried = this.#carried;
    this.#carried = [];
    return carried;
  }

  /** What no piece of this choice took along. */
  takeWeighed(choice: number): readonly Weighed[] {
    const weighed = this.#weighed.get(choice) ?? [];
    this.#weighed.delete(choice);
    return weighed;
  }

  #weigh(choice: number): Weighed[] {
    const weighed = this.#weighed.get(choice) ?? [];
    this.#weighed.set(choice, weighed);
    return weighed;
  }

  #show(choice: number, delta: Delta): void {
    let piece = this.#pieces.at(-1);
    if (piece?.choice === choice && continues(piece.delta, delta)) {
      piece.delta = { ...piece.delta, text: piece.delta.text + delta.text };
    } else {
      piece = { choice, delta, ids: [], to: 0, reasoning: 0, weighed: [] };
      this.#pieces.push(piece);
    }
    piece.ids.push(...this.takeCarried());
    piece.weighed.push(...this.takeWeighed(choice));
    piece.to = this.#to;
    piece.reasoning = this.#reasoning;
  }
}

function continues(open: Delta, delta: Delta): boolean {
  if (open.channel !== delta.channel || open.text.length >= PIECE_CHARS_MAX) return false;
  if (open.channel !== "tool" || delta.channel !== "tool") return true;
  return open.call === delta.call && delta.name === undefined;
}
