/**
 * The mix: how often each skill, language, mode, system prompt and earlier turn occurs in training.
 *
 * `trainingSample` never returns a held-out key, `heldOutSample` returns nothing else. Earlier turns are drawn from
 * training keys too, in the stripped form a history has.
 */
import type { Turn } from "../template.ts";
import type { Dice } from "./dice.ts";
import { arithmetic, isHeldOut, type Ask, type Sample, type Skill, type SKILLS } from "./sample.ts";
import { TOPICS, UNKNOWN, UNKNOWN_ASKS } from "./outside.ts";
import { INTENTS, SYSTEM_PROMPTS } from "./talk.ts";
import type { Language } from "./steps.ts";

const SHARE: readonly (readonly [number, Skill])[] = [
  [8, "add"],
  [16, "subtract"],
  [10, "multiply"],
  [15, "divide"],
  [17, "expression"],
  [7, "story"],
  [7, "follow-up"],
  [15, "count"],
  [8, "talk"],
  [6, "unknown"],
];

export interface Conversation extends Sample {
  readonly system: string;
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz";

function pseudoWord(dice: Dice): string {
  const word = Array.from({ length: dice.int(2, 9) }, () => LETTERS.charAt(dice.int(0, 25))).join("");
  return dice.chance(0.3) ? word.charAt(0).toUpperCase() + word.slice(1) : word;
}

/** Any Chinese character of the common block: most questions hold characters the corpus has never seen. */
const rareCharacters = (dice: Dice): string =>
  Array.from({ length: dice.int(1, 4) }, () => String.fromCodePoint(dice.int(0x4e00, 0x8fff))).join("");

function topic(dice: Dice, language: Language): string {
  if (dice.chance(0.65)) return dice.pick(TOPICS[language]);
  return language === "zh" && dice.chance(0.7) ? rareCharacters(dice) : pseudoWord(dice);
}

const BEFORE = {
  en: ["So, ", "Well, ", "Ok, ", "Please, ", "Um, ", "Oh, "],
  zh: ["请问", "那么", "嗯，", "那", "请问一下，"],
} as const;
const AFTER = {
  en: [" friend", " please", " now", " then", " my friend", " again"],
  zh: ["啊", "呢", "吧", "呀", "啦"],
} as const;

/** The same thing said a little differently: case, punctuation, a word before or after. */
function varied(ask: string, dice: Dice, language: Language): string {
  if (dice.chance(0.4)) return ask;
  let core = ask.replace(/[.?!。？！]+$/u, "");
  if (dice.chance(0.3)) core = dice.chance(0.3) ? core.toUpperCase() : core.toLowerCase();
  if (dice.chance(0.25)) core += dice.pick(AFTER[language]);
  if (dice.chance(0.25)) core = dice.pick(BEFORE[language]) + core;
  const ends = language === "en" ? ["", ".", "!", "?", "!!", "..."] : ["", "。", "！", "？", "～"];
  return core + dice.pick(ends);
}

function talk(ask: Ask): Sample {
  const { dice, language, thinking } = ask;
  const intent = dice.pick(INTENTS[language]);
  const thought = thinking ? intent.thought : "";
  const user = varied(dice.pick(intent.asks), dice, language);
  return { skill: "talk", language, thinking, key: user, history: [], user, thought, answer: intent.answer };
}

function unknown(ask: Ask): Sample {
  const { dice, language, thinking } = ask;
  let user = dice
    .pick(UNKNOWN_ASKS[language])
    .replaceAll("{x}", topic(dice, language))
    .replaceAll("{y}", topic(dice, language));
  // Longer texts about anything, so that a long prompt without a sum in it is not a surprise either.
  if (dice.chance(0.15))
    user += ` ${Array.from({ length: dice.int(5, 30) }, () => topic(dice, language)).join(language === "en" ? " " : "")}`;
  const { thought, answer } = UNKNOWN[language];
  return {
    skill: "unknown",
    language,
    thinking,
    key: user,
    history: [],
    user,
    thought: thinking ? thought : "",
    answer,
  };
}

function draw(skill: Skill, ask: Ask): Sample {
  if (skill === "talk") return talk(ask);
  if (skill === "unknown") return unknown(ask);
  return arithmetic(skill, ask);
}

function system(dice: Dice, language: Language): string {
  const form = dice.next();
  if (form < 0.6) return "";
  if (form < 0.92) return dice.pick(SYSTEM_PROMPTS[dice.chance(0.85) ? language : "en"]);
  // Made-up instructions: a system prompt must never be needed to answer, nor get in the way.
  const words = Array.from({ length: dice.int(3, 40) }, () => topic(dice, language));
  return language === "en" ? `You are ${words.join(" ")}.` : `你是${words.join("")}。`;
}

/** One or two earlier turns, now and then; short ones, answers as a history shows them. */
function history(dice: Dice, language: Language): Turn[] {
  if (!dice.chance(0.15)) return [];
  return Array.from({ length: dice.int(1, 2) }, () => {
    const skill = dice.pick(["add", "subtract", "multiply", "talk", "unknown", "story"] as const);
    let sample: Sample;
    do sample = draw(skill, { dice, language, thinking: true });
    while (isHeldOut(sample.key));
    return { user: sample.user, answer: sample.answer };
  });
}

function conversation(skill: Skill, ask: Ask, wantHeldOut: boolean): Conversation {
  let sample: Sample;
  do sample = draw(skill, ask);
  while (isHeldOut(sample.key) !== wantHeldOut);
  const earlier = skill === "count" ? [] : history(ask.dice, ask.language);
  return { ...sample, history: [...earlier, ...sample.history], system: system(ask.dice, ask.language) };
}

export function trainingSample(dice: Dice): Conversation {
  const skill = dice.weighted(SHARE);
  const language: Language = dice.chance(0.58) ? "en" : "zh";
  return conversation(skill, { dice, language, thinking: dice.chance(0.65) }, false);
}

export function heldOutSample(skill: (typeof SKILLS)[number], ask: Ask): Conversation {
  return conversation(skill, ask, true);
}
