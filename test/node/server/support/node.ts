/**
 * A node for tests: the real one, in this process, around the script engine, on a data folder of its own. What it holds
 * (folder, edge, sockets) is given back by `close`, which `useNode` calls when its test ends.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ulid } from "@sluice/protocol/ids";
import { onTestFinished } from "vitest";
import { EdgeSide } from "../../../../gpu-node/src/edge-side.ts";
import type { Engine } from "../../../../gpu-node/src/engines/engine.ts";
import {
  createScriptEngine,
  type ScriptEngineOptions,
} from "../../../../gpu-node/src/engines/script/engine.ts";
import { ensureEnrolled } from "../../../../gpu-node/src/identity/enrol.ts";
import { importPrivateKey } from "../../../../gpu-node/src/identity/identity.ts";
import { openDatabase } from "../../../../gpu-node/src/journal/schema.ts";
import { GpuNode } from "../../../../gpu-node/src/node.ts";
import { Workshop, type WorkshopLimits } from "../../../../gpu-node/src/workshop.ts";
import { JOIN_TOKEN, TestEdge } from "./edge.ts";

export type NodeWish = {
  readonly engine?: ScriptEngineOptions;
  /** A real engine instead; the node closes it. */
  readonly open?: Engine;
  /** More models. */
  readonly beside?: readonly Engine[];
  readonly limits?: Partial<WorkshopLimits>;
  readonly standalone?: boolean;
  /** A node on this folder and edge: as after a restart. */
  readonly dataDir?: string;
  readonly journalBytesMax?: number;
  readonly edge?: TestEdge;
};

export type TestNode = {
  readonly url: string;
  readonly edge: TestEdge;
  readonly node: GpuNode;
  readonly workshop: Workshop;
  readonly dataDir: string;
  readonly logged: readonly string[];
  readonly stop: (drainMs?: number) => Promise<void>;
};

const LIMITS: WorkshopLimits = { queueMax: 8, queueWaitMs: 10_000, attemptMsMax: 60_000 };

export function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sluice-node-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function useEdge(): Promise<TestEdge> {
  const edge = await new TestEdge().listen();
  onTestFinished(() => edge.close());
  return edge;
}

/** Ready to take calls when it resolves, unless the edge is away. */
export async function useNode(wish: NodeWish = {}): Promise<TestNode> {
  const dataDir = wish.dataDir ?? tempFolder();
  const edge = wish.edge ?? (await useEdge());
  const logged: string[] = [];
  const now = (): number => performance.now();
  const workshop = new Workshop(
    { ...LIMITS, ...wish.limits },
    (event, fields) => logged.push(JSON.stringify({ event, ...fields })),
    now,
  );
  const newId = (): string => ulid(Date.now(), crypto.getRandomValues(new Uint8Array(16)));
  const side = wish.standalone === true ? undefined : await openSide(edge, dataDir, { newId, now, ...wish });
  const node = new GpuNode({
    workshop,
    host: "127.0.0.1",
    port: 0,
    edge: side === undefined ? undefined : { url: edge.url, side, keepCallKeys: async () => undefined },
    newId,
    wallMs: Date.now,
    dice: () => 0,
    fail: (error) => logged.push(String(error)),
  });
  const url = await node.listen();
  for (const engine of [wish.open ?? createScriptEngine(wish.engine), ...(wish.beside ?? [])])
    workshop.open(engine);
  node.told();
  let stopped: Promise<void> | undefined;
  const stop = (drainMs = 0): Promise<void> => (stopped ??= node.stop(drainMs));
  onTestFinished(() => stop());
  if (side !== undefined && !edge.away)
    await edge.until(() => node.life.state === "ready", "a node that is ready");
  return { url, edge, node, workshop, dataDir, logged, stop };
}

async function openSide(
  edge: TestEdge,
  dataDir: string,
  {
    newId,
    now,
    journalBytesMax,
  }: { newId: () => string; now: () => number; journalBytesMax?: number | undefined },
): Promise<EdgeSide> {
  const wanted = { url: edge.url, joinToken: JOIN_TOKEN };
  const stored = await ensureEnrolled(wanted, dataDir, () => undefined, new AbortController().signal);
  const { node, region, callKeys } = stored.enrolled;
  const privateKey = await importPrivateKey(stored.privateKey);
  const identity = { node, region, publicKey: stored.publicKey, privateKey };
  const db = openDatabase(join(dataDir, "journal.db"));
  const bounds = journalBytesMax === undefined ? {} : { journalBytesMax };
  return EdgeSide.open(db, { identity, callKeys, boot: `boot_${newId()}`, ...bounds }, now);
}
