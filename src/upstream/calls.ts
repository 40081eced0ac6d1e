/**
 * Tool calls in an upstream's deltas, whatever its server's habits: pieces without an index, or with any number for one, and with
 * id and name in each. Pure but for what it remembers of one answer. A call is told under its place in the order in which they
 * began, and its id and name once: SDKs join the strings of pieces, and a name told twice is another tool's.
 */
import { z } from "zod";
import type { ToolCallPiece } from "./print.ts";

export const CallPiece = z.object({
  /** What is no number is none. */
  index: z.int().nullish().catch(null),
  id: z.string().nullish(),
  function: z.object({ name: z.string().nullish(), arguments: z.string().nullish() }).nullish(),
});
type CallPiece = z.infer<typeof CallPiece>;

type Called = { id?: string; name?: string };

export class ToolCalls {
  readonly #begun: Called[] = [];
  readonly #byIndex = new Map<number, number>();
  readonly #byId = new Map<string, number>();

  /** What a delta's pieces add; what says nothing new is left out. */
  read(pieces: readonly (CallPiece | null | undefined)[]): ToolCallPiece[] {
    return pieces.flatMap((piece, place) => {
      const { id, index, function: called } = piece ?? {};
      const { name, arguments: text } = called ?? {};
      if (!id && !name && !text) return [];
      // Without index or id: the call that is going on, or, where several come together, each at its place.
      const alone = pieces.length === 1 ? this.#begun.length - 1 : place;
      const at = this.#placeOf(index ?? undefined, id || undefined, alone);
      const call = (this.#begun[at] ??= {});
      const added: { -readonly [Field in keyof ToolCallPiece]: ToolCallPiece[Field] } = {
        index: at,
        arguments: text ?? "",
      };
      if (id && call.id === undefined) {
        added.id = call.id = id;
        this.#byId.set(id, at);
      }
      if (name && call.name === undefined) added.name = call.name = name;
      return added.id || added.name || text ? [added] : [];
    });
  }

  #placeOf(index: number | undefined, id: string | undefined, otherwise: number): number {
    const next = this.#begun.length;
    if (index !== undefined) {
      const at = this.#byIndex.get(index) ?? next;
      this.#byIndex.set(index, at);
      return at;
    }
    if (id !== undefined) return this.#byId.get(id) ?? next;
    return otherwise >= 0 && otherwise < next ? otherwise : next;
  }
}
