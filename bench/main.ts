/**
 * `npm run bench -- <which> [--json] [--quick]`: one command per bench, a table for people, `--json` for machines.
 * `router` also takes `--trace file.jsonl`, `engine` also `--gpu cuda`. Progress goes to stderr, the result alone to stdout. `--quick` is a smoke
 * test: its numbers mean nothing.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { printAccount, runAccount } from "./account/run.ts";
import { printCost } from "./cost/result.ts";
import { runCost } from "./cost/run.ts";
import { Void } from "./edge/books.ts";
import { runProfile } from "./edge/profile.ts";
import { runEdge } from "./edge/run.ts";
import { printTable } from "./edge/table.ts";
import { runEngine } from "./engine/run.ts";
import { printEngineTable } from "./engine/table.ts";
import { runRouter } from "./router/run.ts";
import { printRouterTable } from "./router/table.ts";

const ROOT = resolve(import.meta.dirname, "..");
const USAGE =
  "usage: npm run bench -- edge|engine|account|cost|router [--json] [--quick] [--gpu cuda] [--trace file.jsonl] | profile";
const BENCHES: ReadonlySet<string | undefined> = new Set([
  "edge",
  "engine",
  "account",
  "cost",
  "router",
  "profile",
]);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean" },
      quick: { type: "boolean" },
      gpu: { type: "string" },
      trace: { type: "string" },
    },
  });
  const [which, ...rest] = positionals;
  if (rest.length > 0 || !BENCHES.has(which) || !(values.gpu === undefined || values.gpu === "cuda")) {
    console.error(USAGE);
    return 2;
  }
  try {
    if (which === "profile") {
      await runProfile(ROOT, (what) => console.log(what));
      return 0;
    }
    const options = { root: ROOT, quick: values.quick ?? false, say: (what: string) => console.error(what) };
    if (which === "engine") {
      const result = await runEngine({ ...options, device: values.gpu === "cuda" ? "cuda" : "cpu" });
      console.log(values.json ? JSON.stringify(result) : printEngineTable(result));
      return 0;
    }
    if (which === "account") {
      const result = await runAccount(options);
      console.log(values.json ? JSON.stringify(result) : printAccount(result));
      return 0;
    }
    if (which === "router") {
      const result = runRouter({ ...options, trace: values.trace });
      console.log(values.json ? JSON.stringify(result) : printRouterTable(result));
      return 0;
    }
    if (which === "cost") {
      const result = await runCost(options);
      console.log(values.json ? JSON.stringify(result) : printCost(result));
      return 0;
    }
    const result = await runEdge(options);
    console.log(values.json ? JSON.stringify(result) : printTable(result));
    return 0;
  } catch (error) {
    if (!(error instanceof Void)) throw error;
    console.error(`void: ${error.message}`);
    return 1;
  }
}

process.exitCode = await main();
