/**
 * The slots of the native context and who waits for one. Slots are given by slots.ts's rule; the caller runs no more
 * tasks than there are slots, so the queue only bridges the moment between an abort and the freed slot.
 */
import { chooseSlot } from "../slots.ts";
import type { RunMessage } from "./messages.ts";
import type { Grant, Slot } from "./run.ts";

const WAITING_PER_SLOT_MAX = 4;

export class SlotTable {
  readonly #slots: readonly Slot[];
  readonly #grant: (task: RunMessage, grant: Grant) => void;
  #waiting: RunMessage[] = [];
  #clock = 0;

  constructor(slots: readonly Slot[], grant: (task: RunMessage, grant: Grant) => void) {
    this.#slots = slots;
    this.#grant = grant;
  }

  /** False when too many wait already. */
  ask(task: RunMessage): boolean {
    if (this.#waiting.length >= this.#slots.length * WAITING_PER_SLOT_MAX) return false;
    this.#waiting.push(task);
    this.#serve();
    return true;
  }

  /** The caller has gone before its task had a slot. */
  forget(task: number): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting.task !== task);
  }

  release(slot: Slot): void {
    slot.busy = false;
    slot.usedAt = this.#clock += 1;
    this.#serve();
  }

  #serve(): void {
    // Each turn serves one or ends.
    while (true) {
      const task = this.#waiting[0];
      if (task === undefined) return;
      const choice = chooseSlot(this.#slots, task.tag, [...task.prompt, ...task.delivered], true);
      const slot = choice === undefined ? undefined : this.#slots[choice.slot];
      if (slot === undefined) return;
      this.#waiting.shift();
      slot.busy = true;
      this.#grant(task, { slot, from: choice?.from === undefined ? undefined : this.#slots[choice.from] });
    }
  }
}
