/** CPU time of a process and what it started so far, as /proc counts it. Linux only, like the rest of this bench. */
import { readFileSync } from "node:fs";

/** The kernel's unit in /proc/<pid>/stat, the same on every Linux of this century. */
const TICK_US = 10_000;

export function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name may hold spaces; it ends with the last parenthesis. utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}
