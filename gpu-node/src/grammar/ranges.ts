/** Whole numbers between two bounds, as grammar bodies: digit by digit. Pure. */
import { anyOf } from "./gbnf.ts";

/** Integers have this many digits at most; bounds beyond them bind nothing. */
const DIGITS_MAX = 15;
const INTEGER_MAX = 10 ** DIGITS_MAX - 1;

/** Undefined where no integer that can be written lies between. */
export function integersBetween(min: number, max: number): string | undefined {
  const from = Math.max(Math.ceil(min), -INTEGER_MAX);
  const to = Math.min(Math.floor(max), INTEGER_MAX);
  if (from > to) return undefined;
  const bodies: string[] = [];
  if (from < 0) {
    const negative = naturals(Math.max(1, -Math.min(to, -1)), -from);
    bodies.push(`"-" ${anyOf(negative)}`);
  }
  if (to >= 0) bodies.push(...naturals(Math.max(0, from), to));
  return anyOf(bodies);
}

function naturals(from: number, to: number): readonly string[] {
  const bodies: string[] = [];
  for (let digits = String(from).length; digits <= String(to).length; digits++) {
    const low = Math.max(from, digits === 1 ? 0 : 10 ** (digits - 1));
    const high = Math.min(to, 10 ** digits - 1);
    if (low <= high) bodies.push(between(String(low), String(high)));
  }
  return bodies;
}

/** Two texts of digits, as long as each other. */
function between(low: string, high: string): string {
  if (low === high) return `"${low}"`;
  let at = 0;
  while (low[at] === high[at]) at++;
  const [first, last] = [Number(low[at]), Number(high[at])];
  const rest = low.length - at - 1;
  const bodies: string[] = [];
  if (rest === 0) bodies.push(`[${first}-${last}]`);
  else {
    bodies.push(`"${first}" ${atLeast(low.slice(at + 1))}`);
    if (last - first > 1) bodies.push(`[${first + 1}-${last - 1}] [0-9]{${rest}}`);
    bodies.push(`"${last}" ${atMost(high.slice(at + 1))}`);
  }
  const prefix = at === 0 ? "" : `"${low.slice(0, at)}" `;
  return `${prefix}${anyOf(bodies)}`;
}

function atLeast(low: string): string {
  const digit = Number(low[0]);
  const rest = low.length - 1;
  if (rest === 0) return `[${digit}-9]`;
  const bodies = [`"${digit}" ${atLeast(low.slice(1))}`];
  if (digit < 9) bodies.push(`[${digit + 1}-9] [0-9]{${rest}}`);
  return anyOf(bodies);
}

function atMost(high: string): string {
  const digit = Number(high[0]);
  const rest = high.length - 1;
  if (rest === 0) return `[0-${digit}]`;
  const bodies = [`"${digit}" ${atMost(high.slice(1))}`];
  if (digit > 0) bodies.push(`[0-${digit - 1}] [0-9]{${rest}}`);
  return anyOf(bodies);
}
