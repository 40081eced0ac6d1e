/**
 * `npm run bench -- <which> [--json] [--quick]`: one command per bench, a table for people, `--json` for machines.
 * `router` also takes `--trace file.jsonl`, `engine` also `--gpu cuda`. Progress goes to stderr, the result alone to
 * stdout. `--quick` is a smoke test: its numbers mean nothing.
 * Each bench is loaded when it is asked for: the engine's runs on a GPU machine that has nothing of the edge.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { Void } from "./edge/books.ts";

const ROOT = resolve(import.meta.dirname, "..");
const USAGE =
  "usage: npm run bench -- edge|engine|account|cost|router [--json] [--quick] [--gpu cuda] [--trace file.jsonl] | profile";

type Options = {
  readonly root: string;
  readonly quick: boolean;
  readonly json: boolean;
  readonly gpu: "cuda" | undefined;
  readonly trace: string | undefined;
  readonly say: (what: string) => void;
};

/** Each runs, and says its result. */
const BENCHES: Readonly<Record<string, (options: Options) => Promise<string>>> = {
  async edge(options) {
    const [{ runEdge }, { printTable }] = await Promise.all([
      import("./edge/run.ts"),
      import("./edge/table.ts"),
    ]);
    return said(await runEdge(options), options, printTable);
  },
  async engine(options) {
    const [{ runEngine }, { printEngineTable }] = await Promise.all([
      import("./engine/run.ts"),
      import("./engine/table.ts"),
    ]);
    return said(await runEngine({ ...options, device: options.gpu ?? "cpu" }), options, printEngineTable);
  },
  async account(options) {
    const { printAccount, runAccount } = await import("./account/run.ts");
    return said(await runAccount(options), options, printAccount);
  },
  async cost(options) {
    const [{ runCost }, { printCost }] = await Promise.all([
      import("./cost/run.ts"),
      import("./cost/result.ts"),
    ]);
    return said(await runCost(options), options, printCost);
  },
  async router(options) {
    const [{ runRouter }, { printRouterTable }] = await Promise.all([
      import("./router/run.ts"),
      import("./router/table.ts"),
    ]);
    return said(runRouter(options), options, printRouterTable);
  },
  async profile({ root }) {
    const { runProfile } = await import("./edge/profile.ts");
    const lines: string[] = [];
    await runProfile(root, (line) => lines.push(line));
    return lines.join("\n");
  },
};

function said<Result>(result: Result, { json }: Options, print: (result: Result) => string): string {
  return json ? JSON.stringify(result) : print(result);
}

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
  const [which = "", ...rest] = positionals;
  const bench = Object.hasOwn(BENCHES, which) ? BENCHES[which] : undefined;
  const { gpu } = values;
  if (bench === undefined || rest.length > 0 || !(gpu === undefined || gpu === "cuda")) {
    console.error(USAGE);
    return 2;
  }
  try {
    const result = await bench({
      root: ROOT,
      quick: values.quick ?? false,
      json: values.json ?? false,
      gpu,
      trace: values.trace,
      say: (what) => console.error(what),
    });
    console.log(result);
    return 0;
  } catch (error) {
    if (!(error instanceof Void)) throw error;
    console.error(`void: ${error.message}`);
    return 1;
  }
}

process.exitCode = await main();
