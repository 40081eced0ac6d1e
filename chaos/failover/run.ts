/**
 * The scene `failover`: streams that must not notice what happens to nodes and to the wires between them and the edge. With
 * the real engine, then more of them with the scripted one, then with the account's home far away.
 */
import { Dice } from "../../tools/train/corpus/dice.ts";
import type { Scene, Settings, Verdict } from "../support/scene.ts";
import { judge } from "./judge.ts";
import { partsFor, shortPart } from "./parts.ts";
import { play, type Part } from "./scene.ts";
import { tell, verdictOf, type Told } from "./verdict.ts";

const STREAMS = 1_000;

export const runFailover: Scene = ({ seed, requests = STREAMS, say, keep, only }) => {
  const parts = partsFor(requests).filter(({ name }) => only === undefined || name.startsWith(only));
  return runParts(parts, { seed, say, keep });
};

/** One part with the scripted engine, for `npm test`. */
export function runShort(seed: number, streams: number, say: (what: string) => void): Promise<Verdict> {
  return runParts([shortPart(streams)], { seed, say });
}

async function runParts(
  parts: readonly Part[],
  { seed, ...telling }: Pick<Settings, "seed" | "say" | "keep">,
): Promise<Verdict> {
  const told: Told[] = [];
  for (const [i, part] of parts.entries()) {
    const fromMs = performance.now();
    const played = await play(part, new Dice(seed + i), telling);
    const judgement = judge(played.books);
    told.push(tell(part, played, judgement, (performance.now() - fromMs) / 1_000));
  }
  return verdictOf(seed, told);
}
