/**
 * Short expressions with two or three operators: making them, and reducing them one operation at a time.
 *
 * An expression is a tree; `reduce` always takes the innermost leftmost operation that precedence allows, writes
 * its steps, then the expression that remains. Every intermediate value stays within 0..9999 (`tryValue`).
 */
import type { Dice } from "./dice.ts";
import { add, multiply, subtract, type Language } from "./steps.ts";

type Operator = "+" | "-" | "*";
export type Expression =
  | number
  | { readonly op: Operator; readonly left: Expression; readonly right: Expression };

const RANK: Record<Operator, number> = { "+": 1, "-": 1, "*": 2 };

/** The value, or undefined if any step leaves 0..9999. */
export function tryValue(e: Expression): number | undefined {
  if (typeof e === "number") return e;
  const a = tryValue(e.left);
  const b = tryValue(e.right);
  if (a === undefined || b === undefined) return undefined;
  // The written steps multiply by one digit, or two digits by two digits; nothing wider.
  if (e.op === "*" && Math.min(a, b) > 9 && Math.max(a, b) > 99) return undefined;
  const value = e.op === "+" ? a + b : e.op === "-" ? a - b : a * b;
  return value < 0 || value > 9999 ? undefined : value;
}

/** The text with as few parentheses as precedence allows. */
export function show(e: Expression, signs: Record<Operator, string>): string {
  if (typeof e === "number") return String(e);
  const side = (child: Expression, isRight: boolean): string => {
    const text = show(child, signs);
    if (typeof child === "number") return text;
    const loose = isRight ? RANK[child.op] <= RANK[e.op] : RANK[child.op] < RANK[e.op];
    return loose ? `(${text})` : text;
  };
  return `${side(e.left, false)}${signs[e.op]}${side(e.right, true)}`;
}

const PLAIN: Record<Operator, string> = { "+": "+", "-": "-", "*": "*" };

/** The operation to do first, and what the expression becomes after it. */
function first(e: Exclude<Expression, number>): { op: Operator; a: number; b: number; rest: Expression } {
  if (typeof e.left !== "number" && !(typeof e.right !== "number" && goesBefore(e))) {
    const inner = first(e.left);
    return { ...inner, rest: { ...e, left: inner.rest } };
  }
  if (typeof e.right !== "number") {
    const inner = first(e.right);
    return { ...inner, rest: { ...e, right: inner.rest } };
  }
  const a = Number(e.left);
  const value = e.op === "+" ? a + e.right : e.op === "-" ? a - e.right : a * e.right;
  return { op: e.op, a, b: e.right, rest: value };
}

/** True when the right side binds tighter than a loose left side: 8-3+4*5 does 4*5 first. */
function goesBefore(e: Exclude<Expression, number>): boolean {
  const rank = (child: Expression): number => (typeof child === "number" ? 0 : RANK[child.op]);
  return rank(e.right) > rank(e.left) && rank(e.left) >= RANK[e.op];
}

export function reduce(e: Expression, language: Language): string {
  let text = "";
  let rest = e;
  while (typeof rest !== "number") {
    const step = first(rest);
    const write = step.op === "+" ? add : step.op === "-" ? subtract : multiply;
    text += write(step.a, step.b, language);
    rest = step.rest;
    if (typeof rest !== "number")
      text += `${show(e, PLAIN)}=${show(rest, PLAIN)}${language === "en" ? ". " : "。"}`;
  }
  return `${text}${show(e, PLAIN)}=${rest}${language === "en" ? "." : "。"}`;
}

/** Two operators mostly, sometimes three; numbers up to two digits, products with one small factor. */
export function randomExpression(dice: Dice): Expression {
  for (;;) {
    const e = build(dice, dice.chance(0.75) ? 2 : 3);
    if (tryValue(e) !== undefined) return e;
  }
}

function build(dice: Dice, operators: number): Expression {
  if (operators === 0) return dice.chance(0.5) ? dice.int(1, 9) : dice.int(10, 99);
  const op = dice.weighted<Operator>([
    [4, "+"],
    [3, "-"],
    [3, "*"],
  ]);
  const leftCount = dice.chance(0.65) ? operators - 1 : dice.int(0, operators - 1);
  const left = build(dice, leftCount);
  let right = build(dice, operators - 1 - leftCount);
  if (op === "*" && typeof right === "number" && right > 9) right = dice.int(2, 9);
  return { op, left, right };
}
