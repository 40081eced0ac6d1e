/**
 * What a request wishes of a node, in the words of routing: what it needs, and what of its prompt a node may have
 * cached. The prompt is read once, right after parsing, because its text is let go then; what is kept of it is a few
 * hundred bytes. Where no node says sketches only the opening is read.
 */
import {
  keyedOpening,
  marksOf,
  openingOf,
  trailOf,
  type PromptSource,
  type Trail,
} from "@sluice/protocol/sketch";
import type { Resolved } from "../core/catalogue.ts";
import type { Wish } from "../routing/choose.ts";

export type PromptTrail =
  | { readonly kind: "whole"; readonly trail: Trail }
  | { readonly kind: "opening"; readonly opening: number };

export function readTrail(
  body: PromptSource["body"],
  { model, thinkingDefault }: Resolved,
  sketchesPossible: boolean,
): PromptTrail {
  const source = { model: model.id, thinkingDefault, body };
  return sketchesPossible
    ? { kind: "whole", trail: trailOf(source) }
    : { kind: "opening", opening: openingOf(source) };
}

/** Under the isolation tag: what two accounts send is never the same prompt. */
export function wishUnder(tag: string, trail: PromptTrail, wish: Omit<Wish, "prompt" | "opening">): Wish {
  if (trail.kind === "opening") return { ...wish, opening: keyedOpening(trail.opening, tag) };
  const prompt = marksOf(trail.trail, tag);
  return { ...wish, prompt, opening: prompt.opening };
}
