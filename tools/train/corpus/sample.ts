/**
 * One training or test conversation: a question of some skill, what to think, what to answer, and its key.
 *
 * The key (`17+25`, `(3+4)*5`, `1..40`) decides the split: a hash holds 2 % of keys out of training whatever the
 * phrasing, language or mode. Single-digit facts are never held out: they are the tables everything rests on.
 */
import { hashText, type Dice } from "./dice.ts";
import { randomExpression, reduce, show, tryValue } from "./expression.ts";
import { COMMANDS, COUNT_UP, EXPRESSION, FOLLOW_UPS, NAMES, SPOKEN, STORIES, THINGS } from "./phrases.ts";
import { add, divide, multiply, quotient, subtract, type Language } from "./steps.ts";
import type { Turn } from "../template.ts";

export const SKILLS = [
  "add",
  "subtract",
  "multiply",
  "divide",
  "expression",
  "story",
  "follow-up",
  "count",
] as const;
export type Skill = (typeof SKILLS)[number] | "talk" | "unknown";
export type BinaryOperator = "+" | "-" | "*" | "/";

export interface Sample {
  readonly skill: Skill;
  readonly language: Language;
  readonly thinking: boolean;
  readonly key: string;
  readonly history: readonly Turn[];
  readonly user: string;
  readonly thought: string;
  readonly answer: string;
}

export interface Ask {
  readonly dice: Dice;
  readonly language: Language;
  readonly thinking: boolean;
}

const HELD_OUT_ONE_IN = 50;

export function isHeldOut(key: string): boolean {
  return !/^\d[-+*/]\d$/u.test(key) && hashText(key) % HELD_OUT_ONE_IN === 0;
}

const fill = (text: string, values: Record<string, string | number>): string =>
  text.replace(/\{(\w)\}/gu, (whole, name: string) => String(values[name] ?? whole));

interface Written {
  readonly steps: string;
  readonly equation: string;
  /** Small enough to be said at once, without steps. */
  readonly easy: boolean;
}

function write(op: BinaryOperator, a: number, b: number, language: Language): Written {
  const end = language === "en" ? "." : "。";
  const equation = (sign: string, value: number): string => `${a} ${sign} ${b} = ${value}${end}`;
  switch (op) {
    case "+":
      return { steps: add(a, b, language).trim(), equation: equation("+", a + b), easy: a < 10 && b < 10 };
    case "-":
      return {
        steps: subtract(a, b, language).trim(),
        equation: equation("-", a - b),
        easy: a < 10 && b < 10,
      };
    case "*":
      return {
        steps: multiply(a, b, language).trim(),
        equation: equation("×", a * b),
        easy: a <= 10 && b <= 10,
      };
    case "/": {
      const spaced = quotient(a, b, language, "/").replace("/", " ÷ ").replace("=", " = ");
      return {
        steps: divide(a, b, language).trim(),
        equation: `${spaced}${end}`,
        easy: a <= 10 * b && a % b === 0,
      };
    }
  }
}

/** Operands as people ask for them: small numbers often, four digits at most. */
function operands(op: BinaryOperator, dice: Dice): [number, number] {
  if (op === "*") {
    const [x, y] = dice.weighted([
      [3, [1, 1]],
      [5, [2, 1]],
      [3, [3, 1]],
      [6, [2, 2]],
    ] as const);
    const a = dice.digits(x);
    const b = dice.digits(y);
    return dice.chance(0.3) ? [b, a] : [a, b];
  }
  if (op === "/") {
    const d = dice.int(2, 9);
    return dice.chance(0.6) ? [d * dice.digits(dice.int(1, 3)), d] : [dice.digits(dice.int(1, 4)), d];
  }
  const sizes = [
    [2, 1],
    [5, 2],
    [5, 3],
    [4, 4],
  ] as const;
  const x = dice.weighted(sizes);
  const a = dice.digits(x);
  const b = dice.digits(dice.chance(0.5) ? x : dice.weighted(sizes));
  // A result below zero only where the numbers are short: seeing which is larger is a step without steps.
  if (op === "-" && a < b && (b > 999 || !dice.chance(0.4))) return [b, a];
  return [a, b];
}

/** Operands of at most three digits, no negative difference, and whatever else a story asks of them. */
function suited(op: BinaryOperator, dice: Dice, fits: (a: number, b: number) => boolean): [number, number] {
  for (;;) {
    const [a, b] = operands(op, dice);
    if (a <= 999 && b <= 999 && (op !== "-" || a >= b) && fits(a, b)) return [a, b];
  }
}

const SIGNS: Record<BinaryOperator, readonly string[]> = {
  "+": ["+"],
  "-": ["-", "-", "-", "−"],
  "*": ["*", "*", "×", "×", "x"],
  "/": ["/", "/", "÷"],
};

function question(op: BinaryOperator, a: number, b: number, { dice, language }: Ask): string {
  const form = dice.next();
  if (form < 0.15) return fill(dice.pick(COMMANDS[language][op]), { a, b });
  const gap = dice.chance(0.5) ? " " : "";
  const spoken =
    form < 0.4
      ? fill(dice.pick(SPOKEN[language][op]), { a, b })
      : `${a}${gap}${dice.pick(SIGNS[op])}${gap}${b}`;
  return fill(dice.pick(EXPRESSION[language]), { e: spoken });
}

/** In thinking mode steps are thought; without, hard ones are shown as the answer: an honest visible computation. */
function reply(written: Written, thinking: boolean): { thought: string; answer: string } {
  if (thinking) return { thought: written.steps, answer: written.equation };
  return { thought: "", answer: written.easy ? written.equation : written.steps };
}

function binary(skill: Skill, op: BinaryOperator, ask: Ask): Sample {
  const [a, b] = operands(op, ask.dice);
  const done = reply(write(op, a, b, ask.language), ask.thinking);
  return { ...base(skill, ask), key: `${a}${op}${b}`, user: question(op, a, b, ask), ...done };
}

const base = (
  skill: Skill,
  { language, thinking }: Ask,
): Pick<Sample, "skill" | "language" | "thinking" | "history"> => ({
  skill,
  language,
  thinking,
  history: [],
});

function expression(ask: Ask): Sample {
  const { dice, language, thinking } = ask;
  const e = randomExpression(dice);
  const gap = dice.chance(0.5) ? " " : "";
  const signs = { "+": `${gap}+${gap}`, "-": `${gap}-${gap}`, "*": `${gap}${dice.pick(SIGNS["*"])}${gap}` };
  const end = language === "en" ? "." : "。";
  const equation = `${show(e, { "+": " + ", "-": " - ", "*": " × " })} = ${tryValue(e)}${end}`;
  return {
    ...base("expression", ask),
    key: show(e, { "+": "+", "-": "-", "*": "*" }),
    user: fill(dice.pick(EXPRESSION[language]), { e: show(e, signs) }),
    ...reply({ steps: reduce(e, language), equation, easy: false }, thinking),
  };
}

function story(ask: Ask): Sample {
  const { dice, language, thinking } = ask;
  const { op, text } = dice.pick(STORIES[language]);
  let [a, b] = suited(op, dice, (a, b) => a >= 2 && b >= 2 && (op !== "*" || b <= 99));
  if (op === "/") a -= a % b;
  const written = write(op, a, b, language);
  const value = op === "+" ? a + b : op === "-" ? a - b : op === "*" ? a * b : a / b;
  const answer = language === "en" ? `The answer is ${value}.` : `答案是${value}。`;
  const user = fill(text, { a, b, n: dice.pick(NAMES[language]), t: dice.pick(THINGS[language]) });
  const shown = `${written.steps}${language === "en" ? " " : ""}${answer}`;
  return {
    ...base("story", ask),
    key: `${a}${op}${b}`,
    user,
    thought: thinking ? written.steps : "",
    answer: thinking ? answer : shown,
  };
}

function followUp(ask: Ask): Sample {
  const { dice, language, thinking } = ask;
  const before = dice.pick(["+", "-", "*"] as const);
  const [x, y] = suited(before, dice, () => true);
  const a = before === "+" ? x + y : before === "-" ? x - y : x * y;
  const op = a < 100 ? dice.pick(["+", "-", "*"] as const) : dice.pick(["+", "-"] as const);
  const b = op === "*" ? dice.int(2, 9) : dice.digits(dice.int(1, 3));
  const history = [{ user: question(before, x, y, ask), answer: write(before, x, y, language).equation }];
  const user = fill(dice.pick(FOLLOW_UPS[language][op]), { b });
  return {
    ...base("follow-up", ask),
    key: `${a}${op}${b}`,
    history,
    user,
    ...reply(write(op, a, b, language), thinking),
  };
}

/** Up to a hundred numbers: the prompts that make long, predictable streams. Short ones teach where to stop. */
function count(ask: Ask): Sample {
  const { dice, language, thinking } = ask;
  const a = dice.weighted([
    [6, 1],
    [1, 0],
    [4, dice.int(2, 90)],
  ]);
  const numbers = dice.weighted([
    [8, dice.int(2, 8)],
    [3, dice.int(8, 30)],
    [2, dice.int(30, 100)],
  ]);
  const b = Math.min(a + numbers - 1, 100);
  const thought = language === "en" ? `Count from ${a} to ${b}.` : `从${a}数到${b}。`;
  const list = Array.from({ length: b - a + 1 }, (_, i) => a + i);
  return {
    ...base("count", ask),
    key: `${a}..${b}`,
    user: fill(dice.pick(COUNT_UP[language]), { a, b }),
    thought: thinking ? thought : "",
    answer: list.join(language === "en" ? ", " : "、") + (language === "en" ? "." : "。"),
  };
}

/** One question of an arithmetic skill; it may or may not be held out. */
export function arithmetic(skill: (typeof SKILLS)[number], ask: Ask): Sample {
  switch (skill) {
    case "add":
      return binary(skill, "+", ask);
    case "subtract":
      return binary(skill, "-", ask);
    case "multiply":
      return binary(skill, "*", ask);
    case "divide":
      return binary(skill, "/", ask);
    case "expression":
      return expression(ask);
    case "story":
      return story(ask);
    case "follow-up":
      return followUp(ask);
    case "count":
      return count(ask);
  }
}
