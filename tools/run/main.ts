/**
 * `npm start`: the whole platform on this machine. This file reads the command line, says what happens, and sees that
 * nothing stays behind when it is told to stop. What is started, and how, is platform.ts.
 */
import { parseArgs } from "node:util";
import { startPlatform, type Platform } from "./platform.ts";
import { PlatformError } from "./problem.ts";
import { progress, printReady } from "./screen.ts";

const USAGE = `npm start -- [options]

  --nodes N          how many gpu-nodes (1, or one per region)
  --regions a,b      the regions they stand in, in turn (local)
  --model REF        a GGUF file, or hf:owner/repo:Q4_K_M, or hf:owner/repo/file.gguf (the bundled sluice-tiny);
                     several times for several models, each perhaps as ID=REF
  --engine NAME      llama, or script: canned answers without weights (llama)
  --fresh            forget accounts, keys, usage and nodes of earlier starts
  --data DIR         where to keep them (.sluice)
  --hot-reload       run the edge under wrangler dev, as npm run dev does

PORT=N moves the edge (8787).`;

const PARENT_POLL_MS = 500;
const PORT_MAX = 65_535;
/** wrangler and miniflare lay their files out differently: each keeps its own. */
const HOT_RELOAD_DATA = ".sluice/hot-reload";
/** One Ctrl-C comes twice, from the terminal and from npm: within this time it is the same one. */
const SAME_SIGNAL_MS = 1_000;
/** Two Ctrl-C's mean it: the second one does not wait for anybody. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function readCommandLine(): Parameters<typeof startPlatform>[0] | undefined {
  const { values } = parseArgs({
    options: {
      nodes: { type: "string" },
      regions: { type: "string" },
      model: { type: "string", multiple: true },
      engine: { type: "string" },
      data: { type: "string" },
      fresh: { type: "boolean" },
      "hot-reload": { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return undefined;
  const regions = values.regions?.split(",").map((region) => region.trim());
  const nodeCount = values.nodes === undefined ? undefined : wholeNumber("--nodes", values.nodes);
  return {
    port: portNumber(process.env["PORT"] ?? "8787"),
    fresh: values.fresh ?? false,
    ...(values["hot-reload"] ? { hotReload: true, dataDir: HOT_RELOAD_DATA } : {}),
    ...(regions === undefined ? {} : { regions }),
    ...(nodeCount === undefined ? {} : { nodeCount }),
    ...(values.model === undefined ? {} : { models: values.model }),
    ...(values.engine === undefined ? {} : { engine: values.engine }),
    ...(values.data === undefined ? {} : { dataDir: values.data }),
  };
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new PlatformError(`${name} wants a whole number, not "${text}"`);
  return Number(text);
}

function portNumber(text: string): number {
  const port = wholeNumber("PORT", text);
  if (port < 1 || port > PORT_MAX) throw new PlatformError(`PORT wants 1 to ${PORT_MAX}, not ${port}`);
  return port;
}

/** An npm that was killed can pass no signal on. Whoever starts this file directly may well leave it running. */
function whenOrphaned(stop: () => void): void {
  if (process.env["npm_lifecycle_event"] === undefined) return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    stop();
  }, PARENT_POLL_MS);
  watch.unref();
}

async function main(): Promise<void> {
  const settings = readCommandLine();
  if (settings === undefined) {
    console.log(USAGE);
    return;
  }
  let platform: Platform | undefined;
  const stopping = new AbortController();
  let toldAtMs = 0;
  const stop = (): void => {
    if (stopping.signal.aborted) {
      if (performance.now() - toldAtMs > SAME_SIGNAL_MS) process.exit(130);
      return;
    }
    toldAtMs = performance.now();
    stopping.abort();
    progress.say("stopping");
    // Without a platform yet, startPlatform itself sees the abort and takes down what it has built.
    if (platform !== undefined) void platform.stop().finally(() => process.exit(0));
  };
  for (const name of SIGNALS) process.on(name, stop);
  whenOrphaned(stop);
  try {
    platform = await startPlatform({
      ...settings,
      signal: stopping.signal,
      say: progress.say,
      warn: progress.warn,
    });
    progress.done();
    printReady(platform);
  } catch (error) {
    if (stopping.signal.aborted) process.exit(0);
    throw error;
  }
}

try {
  await main();
} catch (error) {
  progress.done();
  const clear = error instanceof PlatformError || (error instanceof TypeError && "code" in error);
  console.error(clear ? `sluice: ${error.message}` : error);
  process.exit(1);
}
