/**
 * What an admin wants of a node, and the command that asks for it. Pure. A wish is repeated in the reply to every beat
 * until the node's own state shows that it was heard: a lost reply, or a restart of the node, loses no wish.
 */
import type { Beat, Command } from "@sluice/protocol/beat";

export type Wish =
  | { readonly kind: "none" }
  | { readonly kind: "drain"; readonly deadlineMs: number }
  /** Take calls again. Ends when the node no longer drains: a node that later drains by itself is left alone. */
  | { readonly kind: "resume" };

export function commandsFor(wish: Wish, state: Beat["state"]): Command[] {
  if (wish.kind === "drain" && state !== "draining") return [{ do: "drain", deadlineMs: wish.deadlineMs }];
  if (wish.kind === "resume" && state === "draining") return [{ do: "resume_service" }];
  return [];
}

/** The wish that is left after a beat in this state. */
export function wishAfter(wish: Wish, state: Beat["state"]): Wish {
  return wish.kind === "resume" && state !== "draining" ? { kind: "none" } : wish;
}

/** What routing shall see: a node that is to drain gets no more calls, whether or not it has heard of it. */
export function stateShown(wish: Wish, state: Beat["state"]): Beat["state"] {
  return wish.kind === "drain" ? "draining" : state;
}
