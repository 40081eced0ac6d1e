/**
 * The load the server itself reports, read from its Prometheus text. A name that is not there is an error that is told,
 * never a zero: names change between releases, and an idle-looking server gets all the traffic. Pure.
 */
import type { ServerLoad } from "../../load/engine-load.ts";
import type { MetricNames } from "./server.ts";

export function readServerLoad(text: string, names: MetricNames): ServerLoad {
  const read = (name: string): number => {
    const values = valuesOf(text, name);
    if (values.length === 0)
      throw new Error(`the server has no metric ${name}: is it another release, or are its metrics off?`);
    return values.reduce((sum, value) => sum + value, 0);
  };
  const { running, waiting, kvUsage } = names;
  return {
    running: read(running),
    waiting: read(waiting),
    // Of several engines behind one server the fullest counts.
    kvUsage: kvUsage === undefined ? undefined : Math.max(...needed(text, kvUsage)),
  };
}

function needed(text: string, name: string): readonly number[] {
  const values = valuesOf(text, name);
  if (values.length === 0)
    throw new Error(`the server has no metric ${name}: is it another release, or are its metrics off?`);
  return values;
}

/**
 * One value for each engine: rows that split an engine by priority would count it twice, and so would the ranks over which one
 * is spread, which say the same (SGLang with --enable-metrics-for-all-schedulers). Ranks by data are engines of their own.
 */
function valuesOf(text: string, name: string): readonly number[] {
  const engines = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (!line.startsWith(name)) continue;
    const match = /^([\w:]+)(\{[^}]*\})?\s+(\S+)/.exec(line);
    if (match?.[1] !== name) continue;
    const labels = match[2] ?? "";
    if (/[{,]priority="[^"]+"/.test(labels)) continue;
    const value = Number(match[3]);
    if (!Number.isFinite(value)) continue;
    const engine = labels.replaceAll(/(?<=[{,])(?:tp|pp|moe_ep)_rank="[^"]*",?/g, "");
    engines.set(engine, Math.max(value, engines.get(engine) ?? value));
  }
  return [...engines.values()];
}
