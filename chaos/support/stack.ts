/**
 * A real platform to break: the edge and its nodes as `npm start` starts them, in a folder of its own, every node with
 * the script engine. Each engine appends every position it emits to a file before anybody sees it: what was really made,
 * whatever dies afterwards.
 */
import { globSync, mkdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Stack } from "../../test/support/stack.ts";
import { startPlatform, type Platform } from "../../tools/run/platform.ts";

export type ChaosSettings = {
  readonly nodeCount: number;
  readonly regions?: readonly string[];
  /** 0 or left out: any free port. */
  readonly port?: number;
  /** More arguments for the node of this name. */
  readonly nodeArgs?: (name: string) => readonly string[];
  /** Another entry around src/index.ts. */
  readonly main?: string;
  /** SLUICE_CLOCKS: settlement's clocks, shortened so that a quarter of an hour need not be waited for. */
  readonly clocks?: Readonly<Record<string, number>>;
  readonly vars?: Readonly<Record<string, string>>;
};

/** One position as an engine made it. `task` is `<request>/<ordinal>`. */
export type Emitted = {
  readonly engine: string;
  /** `<request>/<ordinal>`; a number where it is nobody's request but the node's own probe. */
  readonly task: string | number;
  readonly position: number;
  readonly id: number;
};

export type ChaosStack = AsyncDisposable & {
  readonly platform: Platform;
  /** Accounts, calls and rows through the public interfaces. */
  readonly api: Stack;
  /** What every engine wrote down so far. */
  readonly emitted: () => readonly Emitted[];
};

export async function startStack(settings: ChaosSettings): Promise<ChaosStack> {
  const { clocks, nodeArgs, vars, ...rest } = settings;
  const dataDir = await mkdtemp(join(tmpdir(), "sluice-chaos-"));
  const enginesDir = join(dataDir, "engines");
  mkdirSync(enginesDir);
  const platform = await startPlatform({
    engine: "script",
    port: 0,
    dataDir,
    ...rest,
    vars: { ...vars, ...(clocks === undefined ? {} : { SLUICE_CLOCKS: JSON.stringify(clocks) }) },
    nodeArgs: (name) => {
      const options = { name, positionsFile: join(enginesDir, `${name}.jsonl`) };
      return ["--script-options", JSON.stringify(options), ...(nodeArgs?.(name) ?? [])];
    },
  }).catch(async (error: unknown) => {
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  });
  return {
    platform,
    api: new Stack(platform),
    emitted: () => globSync(join(enginesDir, "*.jsonl")).flatMap(readEmitted),
    async [Symbol.asyncDispose]() {
      await platform.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A kill -9 leaves no half line: each is one write. */
function readEmitted(file: string): readonly Emitted[] {
  const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Emitted);
}
