/**
 * What /proc knows: the children of a process, and whether one still lives. Elsewhere than on Linux there is no /proc;
 * then nothing is found, and only the tests that kill by process id have nothing to kill.
 */
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** How often a condition is looked at while something waits for it, unless looking is dear. */
const POLL_MS = 20;

export function childrenOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

/** All below `pid`, nearest first. */
export function descendantsOf(pid: number): readonly number[] {
  const children = childrenOf(pid);
  return [...children, ...children.flatMap(descendantsOf)];
}

/** The name of the program a process runs; undefined where it is gone. */
export function programOf(pid: number): string | undefined {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ""));
  } catch {
    return undefined;
  }
}

/** The arguments a process was started with; empty where it is gone. */
export function argumentsOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").filter(Boolean);
  } catch {
    return [];
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie still takes signals; it is dead for every purpose here.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** Sends a signal; a process that is gone already is not an error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone: what the signal wanted.
  }
}

/** Waits until `condition` holds; false where it did not within `limitMs`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  limitMs: number,
  pollMs = POLL_MS,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() >= deadline) return false;
    await delay(pollMs);
  }
  return true;
}

/** Asks every process to end, and ends what does not within `graceMs`. */
export async function endAll(pids: readonly number[], graceMs: number): Promise<void> {
  for (const pid of pids) signal(pid, "SIGTERM");
  if (await until(() => !pids.some(isAlive), graceMs)) return;
  for (const pid of pids) signal(pid, "SIGKILL");
  await until(() => !pids.some(isAlive), graceMs);
}
