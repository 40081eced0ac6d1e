/**
 * How many threads llama.cpp gets. Never all cores: its spinning barriers beside Node's own threads made two threads on
 * two cores 20 to 40 times slower than one (52 instead of 2,070 tokens/s).
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

export function defaultThreads(): number {
  return Math.max(
    1,
    Math.min(physicalCores(readCpuInfo()) ?? availableParallelism(), availableParallelism()) - 1,
  );
}

/** Distinct (physical id, core id) pairs of /proc/cpuinfo; undefined where it does not list them. */
export function physicalCores(cpuInfo: string): number | undefined {
  const cores = new Set<string>();
  for (const block of cpuInfo.split(/\n\s*\n/)) {
    const core = /^core id\s*:\s*(\d+)/m.exec(block)?.[1];
    if (core !== undefined) cores.add(`${/^physical id\s*:\s*(\d+)/m.exec(block)?.[1] ?? "0"}:${core}`);
  }
  return cores.size === 0 ? undefined : cores.size;
}

function readCpuInfo(): string {
  try {
    return readFileSync("/proc/cpuinfo", "utf8");
  } catch {
    return "";
  }
}
