/**
 * The composition root of a gpu-node: argv and environment in, one running node out, and the end of the process.
 * SIGTERM and SIGINT drain and stop; a second one stops at once. SIGHUP reads the models anew (a terminal that closes means
 * to stop), and so does `gpu-node reload`, which says what comes of it. A kill -9 costs nothing but time: the next start
 * finds in the journal what this one was doing.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ulid } from "@sluice/protocol/ids";
import { parseConfig, type Config, type ParsedConfig } from "./config.ts";
import { listenForControl, type Reload } from "./control/listen.ts";
import { RELOAD } from "./control/news.ts";
import { reloadCommand, type Screen } from "./control/reload-command.ts";
import { EdgeSide } from "./edge-side.ts";
import { digestChosen, openChosen } from "./engine-choice.ts";
import { ensureEnrolled } from "./identity/enrol.ts";
import { importPrivateKey, saveStored } from "./identity/identity.ts";
import { openDatabase } from "./journal/schema.ts";
import { Lineup } from "./lineup.ts";
import { errorFields, log } from "./log.ts";
import { GpuNode, type NodeParts } from "./node.ts";
import { USAGE } from "./usage.ts";
import type { EngineChoice } from "./model-config.ts";
import type { Engine, Opening } from "./engines/engine.ts";
import { Workshop } from "./workshop.ts";

const JOURNAL_FILE = "journal.db";
const DICE_BYTES = 16;
const EXIT_USAGE = 2;

const now = (): number => performance.now();
const newUlid = (): string => ulid(Date.now(), crypto.getRandomValues(new Uint8Array(DICE_BYTES)));

function fail(error: unknown): void {
  log("fatal", errorFields(error));
  process.exit(1);
}

async function enterService(config: Config): Promise<NodeParts["edge"]> {
  if (config.edge === undefined) return undefined;
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  // Nothing is held before the end of this: a signal ends the process.
  const stored = await ensureEnrolled(config.edge, config.dataDir, log, new AbortController().signal);
  const { node, region, callKeys } = stored.enrolled;
  const privateKey = await importPrivateKey(stored.privateKey);
  const identity = { node, region, publicKey: stored.publicKey, privateKey };
  const db = openDatabase(join(config.dataDir, JOURNAL_FILE), log);
  const side = await EdgeSide.open(
    db,
    { identity, callKeys, boot: `boot_${newUlid()}`, journalBytesMax: config.journalBytesMax },
    now,
  );
  return {
    url: config.edge.url,
    side,
    keepCallKeys: (keys) =>
      saveStored(config.dataDir, { ...stored, enrolled: { ...stored.enrolled, callKeys: keys } }),
  };
}

function readConfig(): ParsedConfig {
  return parseConfig(process.argv.slice(2), process.env, (path) => readFileSync(path, "utf8"));
}

async function main(): Promise<void> {
  const [word, ...rest] = process.argv.slice(2);
  if (word === RELOAD) {
    const screen: Screen = {
      print: (text) => process.stdout.write(text),
      complain: (text) => process.stderr.write(text),
    };
    process.exitCode = await reloadCommand(rest, process.env, screen);
    return;
  }
  if (process.argv.includes("--help") || process.argv.includes("-h")) {
    process.stdout.write(USAGE);
    return;
  }
  const parsed = readConfig();
  if (!parsed.ok) {
    process.stderr.write(`gpu-node: ${parsed.message}\n`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  const { config } = parsed;
  let node: GpuNode | undefined;
  let lineup: Lineup | undefined;
  let stopping = false;
  const stop = (signalName: string): void => {
    log("stopping", { signal: signalName });
    if (stopping || node === undefined) process.exit(0);
    stopping = true;
    lineup?.close();
    node.stop(config.drainMs).then(() => process.exit(0), fail);
  };
  let wanted = config.models;
  const reload: Reload = async (tell) => {
    const now = readConfig();
    log("reload", now.ok ? {} : { refused: now.message });
    if (!now.ok) return { over: "refused", why: now.message };
    if (stopping) return { over: "superseded" };
    // Not in service yet: it begins with what is wanted now.
    wanted = now.config.models;
    return { over: lineup === undefined ? "later" : await lineup.reload(wanted, tell) };
  };
  const untold = (): void => undefined;
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  process.on("SIGHUP", () => (process.stdout.isTTY ? stop("SIGHUP") : void reload(untold)));
  await listenForControl(config.dataDir, reload, log);

  const { queueMax, queueWaitMs, attemptMsMax, drainMs, host, port } = config;
  const workshop = new Workshop({ queueMax, queueWaitMs, attemptMsMax }, log, now);
  const edge = await enterService(config);
  node = new GpuNode({
    workshop,
    edge,
    host,
    port,
    fail,
    newId: newUlid,
    wallMs: Date.now,
    dice: Math.random,
  });
  const told = (): void => node?.told();
  const engines = config.models.map(({ modelId, kind }) => `${modelId} (${kind})`);
  log("listening", { url: await node.listen(), node: edge?.side.identity.node, engines });
  const open = (choice: EngineChoice, opening: Opening): Promise<Engine> =>
    openChosen(choice, log, () => workshop.mappedBytes, opening);
  lineup = new Lineup({ workshop, open, digest: digestChosen, told, drainMs, log });
  await lineup.start(wanted);
}

await main().catch(fail);
