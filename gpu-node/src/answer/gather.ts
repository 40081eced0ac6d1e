/**
 * Gathers what tokens say between two writes: neighbouring pieces of one channel become one piece. Pure bookkeeping of
 * positions: each piece knows the ids of the positions it adds; a token without text of its own goes along with the next
 * text, so that the ids of all pieces in order are the ids of all positions in order. An end token thus travels with
 * whatever was held back until it came: whoever has its position has that text, and nobody can get it twice.
 *
 * Owned by one attempt; bounded by its output ceiling, which is what lets a slow reader never hold up an engine.
 */
import type { Channel, Delta } from "./reduce.ts";

/** A longer piece is not made: for a reader that fell behind, what it has taken is known this finely. */
const PIECE_CHARS_MAX = 4_096;

export type Piece = {
  readonly channel: Channel;
  readonly text: string;
  readonly ids: readonly number[];
  /** Positions of the request once this piece is handed over. */
  readonly to: number;
  /** How many of those were thinking. */
  readonly reasoning: number;
};

type OpenPiece = { channel: Channel; text: string; ids: number[]; to: number; reasoning: number };

export class Gather {
  #pieces: OpenPiece[] = [];
  /** Positions that show nothing, waiting for text to go with. */
  #carried: number[] = [];
  #to: number;
  #reasoning: number;

  constructor(from: number, reasoning: number) {
    this.#to = from;
    this.#reasoning = reasoning;
  }

  /** A token's position, and what it showed. */
  add(id: number, delta: Delta | undefined, reasoning: number): void {
    this.#to += 1;
    this.#reasoning = reasoning;
    if (delta === undefined) {
      this.#carried.push(id);
      return;
    }
    this.#show(delta, [id]);
  }

  /** Text that belongs to no new position: what was held back before. */
  addText(delta: Delta): void {
    this.#show(delta, []);
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

  #show({ channel, text }: Delta, ids: readonly number[]): void {
    let piece = this.#pieces.at(-1);
    if (piece?.channel !== channel || piece.text.length >= PIECE_CHARS_MAX) {
      piece = { channel, text: "", ids: [], to: 0, reasoning: 0 };
      this.#pieces.push(piece);
    }
    piece.text += text;
    piece.ids.push(...this.takeCarried(), ...ids);
    piece.to = this.#to;
    piece.reasoning = this.#reasoning;
  }
}
