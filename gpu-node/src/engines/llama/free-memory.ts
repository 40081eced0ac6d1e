/**
 * How much memory this machine still has, and whether something fits into it: reading and arithmetic, no llama.cpp.
 *
 * Weights are mapped files. To the kernel their pages look free, because it could drop them; the models that are being
 * served would then be read from disk again with every token. So what others here have mapped (`mappedBytes`) is to be
 * taken off what is free.
 */
import { readFileSync } from "node:fs";

const KIB = 1_024;

export type Footprint = { readonly ramBytes: number; readonly vramBytes: number };

/** What is missing, in words with the figures; undefined where it fits. */
export function shortage(
  need: { readonly weights: Footprint; readonly contexts: Footprint; readonly spareBytes: number },
  free: { readonly ramBytes: number | undefined; readonly vramBytes: number | undefined },
): string | undefined {
  const { weights, contexts, spareBytes } = need;
  const kinds = [
    {
      of: "memory",
      weights: weights.ramBytes,
      contexts: contexts.ramBytes + spareBytes,
      free: free.ramBytes,
    },
    { of: "GPU memory", weights: weights.vramBytes, contexts: contexts.vramBytes, free: free.vramBytes },
  ];
  const short = kinds.find((kind) => kind.free !== undefined && kind.weights + kind.contexts > kind.free);
  if (short === undefined) return undefined;
  return (
    `it needs ${told(short.weights + short.contexts)} of ${short.of} (weights ${told(short.weights)}, contexts and buffers` +
    ` ${told(short.contexts)}), and ${told(short.free ?? 0)} are free. Fewer --slots or a smaller --context need less`
  );
}

function told(bytes: number): string {
  const gib = bytes / 2 ** 30;
  return gib >= 1 ? `${gib.toFixed(1)} GiB` : `${Math.ceil(bytes / 2 ** 20)} MiB`;
}

/* ---- what Linux says ---------------------------------------------------------------------------------------------- */

type Read = (path: string) => string | undefined;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** What this process could still take, of the machine and of its cgroup (v2); undefined where nobody says. */
export function freeRamBytes(read: Read = readText): number | undefined {
  const machine = kib(read("/proc/meminfo"), "MemAvailable");
  if (machine === undefined) return undefined;
  const group = /^0::(.*)$/m.exec(read("/proc/self/cgroup") ?? "")?.[1];
  if (group === undefined) return machine;
  const folder = `/sys/fs/cgroup${group === "/" ? "" : group}`;
  const max = Number(read(`${folder}/memory.max`) ?? "max");
  const used = Number(read(`${folder}/memory.current`) ?? Number.NaN);
  if (!Number.isFinite(max) || !Number.isFinite(used)) return machine;
  const stat = read(`${folder}/memory.stat`) ?? "";
  // Pages of files are counted as used, and given back on demand.
  const files = ["inactive_file", "active_file"].map((name) =>
    Number(new RegExp(`^${name} (\\d+)$`, "m").exec(stat)?.[1] ?? 0),
  );
  const given = files.reduce((sum, bytes) => sum + bytes, 0);
  return Math.min(machine, Math.max(0, max - used + given));
}

/** Of a process: pages of files it has mapped; 0 where nobody says. */
export function mappedBytes(pid: number | undefined, read: Read = readText): number {
  return pid === undefined ? 0 : (kib(read(`/proc/${pid}/status`), "RssFile") ?? 0);
}

function kib(text: string | undefined, name: string): number | undefined {
  const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text ?? "")?.[1];
  return value === undefined ? undefined : Number(value) * KIB;
}
