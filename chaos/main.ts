/**
 * `npm run chaos -- <scene> [--json] [--requests N] [--seed S]`: a real platform, broken on purpose, and a judge. A table
 * for people, `--json` for machines; progress goes to stderr, the verdict alone to stdout. Exit status 1 where the judge
 * found anything. The same seed makes the same plan; processes that are killed keep no seed.
 */
import { parseArgs } from "node:util";
import { runLedger } from "./ledger/run.ts";
import { runFailover } from "./failover/run.ts";
import type { Scene } from "./support/scene.ts";

const SCENES: Readonly<Record<string, Scene>> = { ledger: runLedger, failover: runFailover };
const USAGE = `usage: npm run chaos -- ${Object.keys(SCENES).join("|")} [--json] [--requests N | --streams N] [--seed S] [--part NAME] [--keep]`;
const SEEDS = 1_000_000;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean" },
      requests: { type: "string" },
      streams: { type: "string" },
      seed: { type: "string" },
      part: { type: "string" },
      keep: { type: "boolean" },
    },
  });
  const [which = "", ...rest] = positionals;
  const run = SCENES[which];
  const seed = Number(values.seed ?? Date.now() % SEEDS);
  const many = values.requests ?? values.streams;
  const requests = many === undefined ? undefined : Number(many);
  if (run === undefined || rest.length > 0 || !Number.isInteger(seed) || !Number.isInteger(requests ?? 1)) {
    console.error(USAGE);
    return 2;
  }
  const verdict = await run({
    seed,
    requests,
    say: (what) => console.error(what),
    keep: values.keep,
    only: values.part,
  });
  console.log(values.json ? JSON.stringify(verdict.json) : verdict.table);
  return verdict.ok ? 0 : 1;
}

process.exitCode = await main();
