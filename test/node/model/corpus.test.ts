/**
 * The corpus tells the truth: every equation in thousands of training texts holds, and the held-out split holds.
 *
 * A wrong step in the data would be learnt as readily as a right one, and evaluation (which expects the corpus's own
 * answer) would never notice; so the equations are checked here by an evaluator that shares no code with the corpus.
 */
import { expect, test } from "vitest";
import { Dice } from "../../../tools/train/corpus/dice.ts";
import { heldOutSample, trainingSample } from "../../../tools/train/corpus/mix.ts";
import { isHeldOut, SKILLS } from "../../../tools/train/corpus/sample.ts";
import { UNSEEN_ASKS } from "../../../tools/train/unseen.ts";

/** Value of + - * and parentheses, by rewriting the text until one number is left. */
function valueOf(text: string): number {
  let rest = text;
  for (;;) {
    const before = rest;
    rest = rest.replace(/\((-?\d+)\)/u, "$1");
    rest = rest.replace(/(?<![\d)])(-?\d+)\*(\d+)/u, (_, a: string, b: string) =>
      String(Number(a) * Number(b)),
    );
    if (rest !== before) continue;
    rest = rest.replace(/(?<=[+\-(])(\d+)\*(\d+)/u, (_, a: string, b: string) =>
      String(Number(a) * Number(b)),
    );
    if (rest !== before) continue;
    rest = rest.replace(/(?<=^|\()(-?\d+)([+-])(\d+)(?!\d|\*)/u, (_, a: string, sign: string, b: string) => {
      const value = sign === "+" ? Number(a) + Number(b) : Number(a) - Number(b);
      return String(value);
    });
    if (rest === before) break;
  }
  if (!/^-?\d+$/u.test(rest)) throw new Error(`cannot evaluate ${text}: stuck at ${rest}`);
  return Number(rest);
}

function falseEquations(text: string): string[] {
  const plain = text
    .replace(/ (?=[-+×÷=])|(?<=[-+×÷=]) /gu, "")
    .replaceAll("×", "*")
    .replaceAll("÷", "/");
  const divisions = [...plain.matchAll(/(\d+)\/(\d+)=(\d+)(?:(?:, remainder |，余)(\d+))?/gu)]
    .filter(
      ([, a, d, q, r]) => Number(a) !== Number(q) * Number(d) + Number(r ?? 0) || Number(r ?? 0) >= Number(d),
    )
    .map(([whole]) => whole);
  const others = [...plain.matchAll(/(?<![\d/*+\-(])([\d(][\d+*()-]*)=(-?[\d(][\d+*()-]*)/gu)]
    .filter(([, left = "", right = ""]) => valueOf(left) !== valueOf(right))
    .map(([whole]) => whole);
  return [...divisions, ...others];
}

test("the checker itself notices a wrong step", () => {
  expect(falseEquations("Ones: 7+8=14, carry 1. 12*3=36.")).toEqual(["7+8=14"]);
  expect(falseEquations("2+3*(10-4)=20. 7/2=3, remainder 1. 8-3-1=4.")).toEqual([]);
  expect(falseEquations("7/2=3. 9/2=4, remainder 2.")).toEqual(["7/2=3", "9/2=4, remainder 2"]);
});

test("every equation in 5000 training conversations is true", () => {
  const dice = new Dice(31);
  let equations = 0;
  for (let i = 0; i < 5000; i++) {
    const { thought, answer, user } = trainingSample(dice);
    for (const text of [thought, answer]) {
      expect(falseEquations(text), user).toEqual([]);
      equations += text.split("=").length - 1;
    }
  }
  expect(equations).toBeGreaterThan(15_000);
});

test("no training conversation asks a held-out sum, and every test conversation does", () => {
  const dice = new Dice(32);
  for (let i = 0; i < 2000; i++) expect(isHeldOut(trainingSample(dice).key)).toBe(false);
  for (const skill of SKILLS) {
    expect(isHeldOut(heldOutSample(skill, { dice, language: "en", thinking: true }).key)).toBe(true);
  }
});

test("the hand-written evaluation lines do not occur in training", () => {
  const lines = new Set(UNSEEN_ASKS.flatMap(({ asks }) => asks));
  const dice = new Dice(33);
  const seen = Array.from({ length: 20_000 }, () => trainingSample(dice).user).filter((user) =>
    lines.has(user),
  );
  expect(seen).toEqual([]);
});
