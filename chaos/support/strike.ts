/**
 * kill -9, by process id, of the Worker, of a node, or of everything in the same instant; and its coming back. D1, KV,
 * Queue and the objects live in the Worker's process and die with it; the engine of these stacks lives in its node's.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { NodeProcess } from "../../tools/run/node-process.ts";
import type { Platform } from "../../tools/run/platform.ts";
import { signal, until } from "../../tools/run/processes.ts";

export type Victims = {
  readonly worker: boolean;
  readonly nodes: readonly NodeProcess[];
};

/** A node of these stacks listens a moment after its start. */
const LISTENS_MS = 15_000;

/** Kills them at once, and starts them again after `deadMs`. Resolves when the edge answers; nodes may still be loading. */
export async function strike(platform: Platform, { worker, nodes }: Victims, deadMs: number): Promise<void> {
  await kill(platform, { worker, nodes });
  await delay(deadMs);
  for (const node of nodes) node.start();
  if (worker) await platform.restartWorker();
}

/** Resolves when every node listens again and the edge has heard from it: what it heard before a death is no news. */
export async function whenBack(platform: Platform): Promise<void> {
  const listens = async ({ url }: NodeProcess): Promise<boolean> => {
    try {
      const response = await fetch(`${url}/metrics`);
      await response.body?.cancel();
      return response.ok;
    } catch {
      return false;
    }
  };
  await Promise.all(platform.nodes.map((node) => until(() => listens(node), LISTENS_MS)));
  await platform.whenNodesReady();
}

/** They stay dead: `platform.restartWorker()` and `node.start()` bring them back. */
async function kill(platform: Platform, { worker, nodes }: Victims): Promise<void> {
  // All signals first: what comes after waits for deaths, and a death must not be news to the others.
  const pids = [worker ? platform.workerdPid : undefined, ...nodes.map(({ pid }) => pid)];
  for (const pid of pids) if (pid !== undefined) signal(pid, "SIGKILL");
  await Promise.all([worker ? platform.killWorker() : undefined, ...nodes.map((node) => node.kill("tree"))]);
}
