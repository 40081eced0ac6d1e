/**
 * `npm run fuzz -- [--bodies N] [--seed N] [--only N] [--json]`: sends mutated request bodies through everything that reads them, on
 * the edge and on the node. Exits 1 where one of them crashes, or is answered with a 5xx.
 */
import { parseArgs } from "node:util";
import { fuzz, isBad, type Fuzzed } from "./run.ts";

const BODIES_DEFAULT = 20_000;

const { values } = parseArgs({
  options: {
    bodies: { type: "string", default: String(BODIES_DEFAULT) },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

function whole(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  process.stderr.write(`--${name} takes a whole number, not '${text}'\n`);
  process.exit(2);
}

function print({ counts, crashes, seed, bodies }: Fuzzed): string {
  const rows = [
    ["target", "dialect", "outcome", "bodies"],
    ...counts.map(({ target, dialect, outcome, count }) => [target, dialect, outcome, String(count)]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, at) => (at === 3 ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join("  "),
  );
  const told = crashes.map(
    ({ target, body, what, text }) => `\n${target}, --seed ${seed} --only ${body}: ${what}\n  ${text}`,
  );
  const bad = counts.filter(({ outcome }) => isBad(outcome)).reduce((sum, { count }) => sum + count, 0);
  return [`${bodies} bodies, seed ${seed}: ${bad} bad`, "", ...lines, ...told].join("\n");
}

const fuzzed = await fuzz({
  bodies: whole("bodies", values.bodies),
  seed: whole("seed", values.seed),
  only: values.only === undefined ? undefined : whole("only", values.only),
});
process.stdout.write(`${values.json ? JSON.stringify(fuzzed) : print(fuzzed)}\n`);
process.exitCode = fuzzed.counts.some(({ outcome }) => isBad(outcome)) ? 1 : 0;
