/** Counts of durations by upper bound, and both counters and histograms in Prometheus' text format. Pure. */

export class Histogram {
  readonly #boundsS: readonly number[];
  readonly #counts: number[];
  #sumS = 0;
  #count = 0;

  constructor(boundsS: readonly number[]) {
    this.#boundsS = boundsS;
    this.#counts = boundsS.map(() => 0);
  }

  note(seconds: number): void {
    this.#sumS += seconds;
    this.#count += 1;
    const at = this.#boundsS.findIndex((bound) => seconds <= bound);
    if (at >= 0) this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  print(name: string, help: string): string {
    let text = `# HELP ${name} ${help}\n# TYPE ${name} histogram\n`;
    let below = 0;
    for (const [at, bound] of this.#boundsS.entries()) {
      below += this.#counts[at] ?? 0;
      text += `${name}_bucket{le="${bound}"} ${below}\n`;
    }
    text += `${name}_bucket{le="+Inf"} ${this.#count}\n`;
    return `${text}${name}_sum ${this.#sumS}\n${name}_count ${this.#count}\n`;
  }
}

export type Sample = { readonly labels?: string; readonly value: number };

export function printMetric(
  kind: "counter" | "gauge",
  name: string,
  help: string,
  samples: readonly Sample[],
): string {
  let text = `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`;
  for (const { labels, value } of samples)
    text += `${name}${labels === undefined ? "" : `{${labels}}`} ${value}\n`;
  return text;
}
