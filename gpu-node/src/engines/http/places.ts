/**
 * Whose prompts lie where in a server that keeps prefixes apart only by its slots: a tag gets slots of its own, as far as
 * there are any. Where that is not needed, or the operator has not said that nothing else moves prompts, everybody goes
 * anywhere. One per engine; forgotten with the server's process.
 */
import type { Task } from "../engine.ts";
import { chooseSlot } from "../slots.ts";
import type { Spot } from "./server.ts";

/** `tag` is whose prompt the server holds there, as far as that is known; "" is nobody's. */
type Slot = { busy: boolean; tag: string; tokens: readonly number[]; usedAt: number };

export type Place = {
  /** Where the next request of the task goes. */
  spot(): Spot;
  /** The server has really started the task here. */
  began(): void;
  leave(): void;
};

export class Places {
  #slots: Slot[] = [];
  #clock = 0;

  /** The server's slots are empty. */
  reset(count: number): void {
    this.#slots = Array.from({ length: count }, () => ({ busy: false, tag: "", tokens: [], usedAt: 0 }));
  }

  /** A slot, held until the task leaves. */
  take({ tag, prompt, delivered }: Task): Place {
    const tokens = [...prompt, ...delivered];
    const choice = chooseSlot(this.#slots, tag, tokens);
    const slot = choice === undefined ? undefined : this.#slots[choice.slot];
    if (choice === undefined || slot === undefined) return anywhere(undefined);
    // What lies there is another's until this task has begun, and its own from then on.
    let isOwn = slot.tag !== "" && slot.tag === tag;
    slot.busy = true;
    // A task that leaves before it began has left another one's prompt there.
    slot.tag = "";
    slot.tokens = tokens;
    return {
      spot: () => ({ slot: choice.slot, tag: isOwn ? tag : undefined }),
      began: () => {
        slot.tag = tag;
        isOwn = true;
      },
      leave: () => {
        slot.busy = false;
        slot.usedAt = this.#clock += 1;
      },
    };
  }
}

/** `tag`: what keeps this task's prefixes apart there; undefined: nothing does. */
export function anywhere(tag: string | undefined): Place {
  return { spot: () => ({ tag }), began: () => undefined, leave: () => undefined };
}
