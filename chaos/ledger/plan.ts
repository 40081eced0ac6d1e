/**
 * What the clients of this scene will do, request by request, from seeded dice. Pure: the same dice make the same plan.
 *
 * Every answer is numbered words, one token each, so that a client counts positions by reading and needs no word of ours.
 */
import type { Dice } from "../../tools/train/corpus/dice.ts";

/** A repeater has an account to itself: whatever it was charged was for the one answer it wanted. */
export type Purse = "rich" | "tiny" | "crowd" | "repeater";

export type Planned = {
  readonly nr: number;
  readonly kind: Kind;
  /** Which kind of account pays, and which of them. */
  readonly purse: Purse;
  readonly purseNr: number;
  readonly stream: boolean;
  readonly model: string;
  /** Words of the answer, and of thinking where the model thinks. */
  readonly words: number;
  readonly think: number;
  readonly everyMs: number;
  readonly maxTokens: number | undefined;
  /** The client leaves so long after its call, whatever has come. */
  readonly leavesAfterMs: number | undefined;
  /** The engine dies instead of emitting this position, under whatever else runs on it. */
  readonly engineDiesAt: number | undefined;
};

const KINDS = [
  [30, "stream"],
  [16, "whole"],
  [10, "thinking"],
  [8, "ceiling"],
  [12, "leaver"],
  [4, "whole_leaver"],
  [3, "engine_death"],
  [6, "tiny"],
  [3, "bad_key"],
  [3, "bad_body"],
  [3, "bad_model"],
  [2, "too_long"],
  [2, "repeater"],
] as const;
export type Kind = (typeof KINDS)[number][1] | "crowd";

const MODELS = { plain: "deepseek-chat", thinking: "deepseek-reasoner" } as const;
export const CROWD = 50;
/** So many requests come with one crowd. */
const REQUESTS_PER_CROWD = 400;
const PURSES = { rich: 3, tiny: 8 } as const;
/** How often a client asks for the same answer under one Idempotency-Key. */
export const REPEATS = 3;

const WORDS_MAX = 300;
const EVERY_MS_MAX = 12;
const ANSWER_MS_MAX = 2_500;
const LEAVES_AFTER_MS_MAX = 1_500;

/** In the order they are sent. A crowd is fifty in a row, who are sent at once. */
export function planLedger(dice: Dice, count: number): readonly Planned[] {
  const plan: Planned[] = [];
  const crowds = Math.max(1, Math.round(count / REQUESTS_PER_CROWD));
  const singles = Math.max(0, count - crowds * CROWD);
  const crowdAfter = Math.floor(singles / crowds);
  for (let crowd = 0; crowd < crowds; crowd++) {
    for (let i = 0; i < crowdAfter; i++) plan.push(single(dice, plan.length));
    for (let i = 0; i < CROWD; i++) plan.push(oneOfCrowd(plan.length, crowd));
  }
  while (plan.length < count) plan.push(single(dice, plan.length));
  return plan;
}

function single(dice: Dice, nr: number): Planned {
  const kind = dice.weighted(KINDS);
  const words = dice.chance(0.2) ? dice.int(0, 3) : dice.int(0, WORDS_MAX);
  const paceMax = Math.min(EVERY_MS_MAX, Math.floor(ANSWER_MS_MAX / Math.max(1, words)));
  const everyMs = dice.chance(0.3) ? 0 : dice.int(0, paceMax);
  const leaves = kind === "leaver" || kind === "whole_leaver";
  const whole =
    kind === "whole" ||
    kind === "repeater" ||
    kind === "whole_leaver" ||
    (kind === "ceiling" && dice.chance(0.3));
  const purse = kind === "tiny" || kind === "repeater" ? kind : "rich";
  return {
    nr,
    kind,
    purse,
    purseNr: purse === "repeater" ? nr : dice.int(0, PURSES[purse] - 1),
    stream: !whole,
    model: kind === "thinking" ? MODELS.thinking : MODELS.plain,
    words: kind === "ceiling" ? WORDS_MAX : words,
    think: kind === "thinking" ? dice.int(0, 20) : 0,
    everyMs: kind === "ceiling" ? 0 : everyMs,
    maxTokens:
      kind === "ceiling" ? dice.int(1, WORDS_MAX - 1) : kind === "tiny" ? dice.int(1, 60) : WORDS_MAX * 2,
    leavesAfterMs: leaves ? dice.int(0, LEAVES_AFTER_MS_MAX) : undefined,
    engineDiesAt: kind === "engine_death" ? dice.int(0, words) : undefined,
  };
}

function oneOfCrowd(nr: number, crowd: number): Planned {
  return {
    nr,
    kind: "crowd",
    purse: "crowd",
    purseNr: crowd,
    stream: nr % 2 === 0,
    model: MODELS.plain,
    words: WORDS_MAX,
    think: 0,
    everyMs: 5,
    maxTokens: 20,
    leavesAfterMs: undefined,
    engineDiesAt: undefined,
  };
}

/** The message that makes the script engine answer so; `marker` is text that nobody but the engine should keep. */
export function messageOf(planned: Planned, marker: string): string {
  const { words, think, everyMs, engineDiesAt } = planned;
  const script = {
    tokens: words,
    think,
    everyMs,
    ...(engineDiesAt === undefined ? {} : { dieAt: engineDiesAt }),
  };
  // Beyond what a client without tokenizer would guess: the hold is too small at first, and is extended.
  const padding = planned.kind === "too_long" ? ` ${"x".repeat(1_000)}` : "";
  return `${marker} ${JSON.stringify({ script })}${padding}`;
}
