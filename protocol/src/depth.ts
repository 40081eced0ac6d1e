/**
 * How deep a parsed JSON value may be nested. Parsers take any depth, but whatever walks or prints a value afterwards is
 * recursive, and runs out of stack on some ten thousand levels: so both sides look at the depth first.
 */

/** Deeper than any schema that makes sense. */
export const JSON_DEPTH_MAX = 200;

export function isTooDeep(value: unknown, levelsMax = JSON_DEPTH_MAX): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levelsMax === 0) return true;
  for (const inner of Array.isArray(value) ? (value as readonly unknown[]) : Object.values(value))
    if (isTooDeep(inner, levelsMax - 1)) return true;
  return false;
}
