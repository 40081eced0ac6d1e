/**
 * Turns whose times per token can be compared. Where only answers go on, a token more makes each of them cheaper, so their
 * classes are narrow (a fifth wide). A prompt's chunk costs about the same per token whatever its length, from flash attention's
 * tile of 64 on: there a class is an octave. Pure.
 */

import { TILE_TOKENS } from "./passes.ts";

/** Whether a turn reads a prompt, perhaps beside answers, or only goes on with answers. */
export type Kind = "prompt" | "decode";

const CLASSES_PER_OCTAVE = 4;
const FLAT_CLASS = CLASSES_PER_OCTAVE * Math.log2(TILE_TOKENS) + 1;

/** The nearer two numbers are, the more alike are the turns. */
export function sizeClass(kind: Kind, tokens: number): number {
  return kind === "prompt" && tokens >= TILE_TOKENS
    ? FLAT_CLASS + Math.floor(Math.log2(tokens / TILE_TOKENS))
    : Math.round(Math.log2(tokens) * CLASSES_PER_OCTAVE);
}
