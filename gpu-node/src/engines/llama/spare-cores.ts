/**
 * How many cores of this machine nobody uses, by the kernel's own count. A thread that has to share a core makes every
 * barrier of llama.cpp wait for the scheduler: one such turn of a busy machine took a second, and every answer of the
 * engine with it. So more threads are tried only where there are cores for them. Where the kernel does not say
 * (no Linux) it is not known, and trying is the only way to find out.
 */
import { readFileSync } from "node:fs";

/** Shorter than this says nothing: the kernel counts in hundredths of a second. */
const WINDOW_MIN_MS = 200;
/** A thread may be given what is idle for most of the time. */
const SPARE_PER_THREAD = 0.6;

/** Of all cores together, since the machine started. */
export type CpuTimes = { readonly cores: number; readonly idle: number; readonly total: number };

/** Of /proc/stat; undefined where it is not one. Pure. */
export function parseCpuTimes(stat: string): CpuTimes | undefined {
  const all = /^cpu +([\d ]+)$/m.exec(stat)?.[1]?.split(" ").map(Number);
  const cores = stat.match(/^cpu\d/gm)?.length ?? 0;
  // user nice system idle iowait irq softirq steal; guests are counted among users.
  const [user = 0, nice = 0, system = 0, idle, iowait = 0, irq = 0, softirq = 0, steal = 0] = all ?? [];
  if (idle === undefined || cores === 0) return undefined;
  const free = idle + iowait;
  return { cores, idle: free, total: user + nice + system + free + irq + softirq + steal };
}

/** Cores that were idle between two looks, on average. Pure. */
function spareBetween(before: CpuTimes, after: CpuTimes): number {
  const total = after.total - before.total;
  return total <= 0 ? 0 : ((after.idle - before.idle) / total) * after.cores;
}

export class SpareCores {
  readonly #read: () => CpuTimes | undefined;
  readonly #nowMs: () => number;
  #last: CpuTimes | undefined;
  #lookedAtMs: number;
  /** As it was at the last look; 0 before there was one. */
  #spare = 0;

  constructor(
    read: () => CpuTimes | undefined = readCpuTimes,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#read = read;
    this.#nowMs = nowMs;
    this.#last = read();
    this.#lookedAtMs = nowMs();
  }

  /**
   * To be called often: what is idle is counted from look to look. Who looks only when it wants to know hears of all the
   * time since it last wanted to, and that was another time.
   */
  look(): void {
    const nowMs = this.#nowMs();
    if (this.#last === undefined || nowMs - this.#lookedAtMs < WINDOW_MIN_MS) return;
    const now = this.#read() ?? this.#last;
    this.#spare = spareBetween(this.#last, now);
    this.#last = now;
    this.#lookedAtMs = nowMs;
  }

  /** Whether so many more threads have cores of their own, by the time before the last look. */
  has(threads: number): boolean {
    this.look();
    return this.#last === undefined || this.#spare >= threads * SPARE_PER_THREAD;
  }
}

function readCpuTimes(): CpuTimes | undefined {
  try {
    return parseCpuTimes(readFileSync("/proc/stat", "utf8"));
  } catch {
    return undefined;
  }
}
