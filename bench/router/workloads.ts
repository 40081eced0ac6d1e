/**
 * Synthetic workloads that match the published statistics of real traces: lengths, arrivals, how prompts share their
 * beginnings, and the pauses between the turns of a conversation. Pure: seeded.
 *
 * Rates are the cell's business, pauses are not: a conversation's turns come as far apart as people's do, whatever the
 * load. So a workload is made for the rate it will be played at.
 */
import { diceOf, exponential, gamma, logNormal, zipf, type Dice } from "./dice.ts";
import { BLOCK_TOKENS, type SimRequest, type Workload } from "./request.ts";

const INPUT_TOKENS_MAX = 120_000;

type Length = { readonly mu: number; readonly sigma: number; readonly max: number };
type Gap = { readonly mu: number; readonly sigma: number };

type Shape = {
  readonly name: string;
  readonly first: Length;
  readonly output: Length;
  /** New tokens from turn to turn, the answer before included. */
  readonly growth?: Length;
  /** The chance of another turn after each. */
  readonly again?: number;
  /** Seconds between turns. */
  readonly gap?: Gap;
  /** Blocks every prompt begins with. */
  readonly sharedBlocks?: number;
  /** A part of the conversations begins with one of some system prompts, the popular ones more often. */
  readonly systems?: { readonly part: number; readonly count: number; readonly blocks: number };
  /** How sessions arrive. */
  readonly arrivals:
    | { readonly kind: "poisson" }
    | { readonly kind: "batches"; readonly everyMs: number }
    | { readonly kind: "gamma"; readonly cv: number };
};

/** Mooncake's and Azure's published statistics, llm-d's shared-prefix benchmark, and ShareGPT-like chat. */
export const SHAPES: readonly Shape[] = [
  {
    // Mooncake conversation: input LN(8.74, 1.20), everyone shares block 0, turns 1.49 on average, gaps p50 123 s.
    name: "conversation",
    first: { mu: 8.6, sigma: 1.2, max: INPUT_TOKENS_MAX },
    output: { mu: 5.75, sigma: 0.42, max: 2_000 },
    growth: { mu: 6.15, sigma: 1.56, max: 30_000 },
    again: 0.33,
    gap: { mu: 4.81, sigma: 0.97 },
    sharedBlocks: 1,
    systems: { part: 0.06, count: 20, blocks: 4 },
    arrivals: { kind: "batches", everyMs: 3_000 },
  },
  {
    // Mooncake synthetic: input mean 15,325, output p50 69 mean 149, 64 % of blocks seen before, reuse gap p50 65 s.
    name: "synthetic",
    first: { mu: 8.9, sigma: 0.9, max: INPUT_TOKENS_MAX },
    output: { mu: 4.23, sigma: 1.24, max: 2_000 },
    growth: { mu: 7.3, sigma: 1.1, max: 30_000 },
    again: 0.72,
    gap: { mu: 4.17, sigma: 1.18 },
    arrivals: { kind: "poisson" },
  },
  {
    // llm-d's shared prefixes: 150 groups, 6,000 tokens of system prompt, 1,200 of question, 1,000 of answer.
    name: "groups",
    first: { mu: Math.log(1_200), sigma: 0.1, max: 4_000 },
    output: { mu: Math.log(1_000), sigma: 0.1, max: 2_000 },
    systems: { part: 1, count: 150, blocks: 12 },
    arrivals: { kind: "poisson" },
  },
  {
    // ShareGPT-like: short turns that add up, eight of them on average, half a minute apart.
    name: "chat",
    first: { mu: Math.log(600), sigma: 0.9, max: 8_000 },
    output: { mu: 5.4, sigma: 0.9, max: 2_000 },
    growth: { mu: Math.log(450), sigma: 0.7, max: 4_000 },
    again: 0.875,
    gap: { mu: Math.log(30), sigma: 0.8 },
    arrivals: { kind: "poisson" },
  },
  {
    // Azure 2023 code: input LN(7.0, 1.36), output p50 13, bursts (CV of inter-arrivals 13.2).
    name: "azure-code",
    first: { mu: 7, sigma: 1.36, max: 7_437 },
    output: { mu: 2.56, sigma: 1.24, max: 1_000 },
    arrivals: { kind: "gamma", cv: 13.2 },
  },
  {
    // Azure 2023 conversation: input LN(6.63, 0.985), output p50 129 mean 211.
    name: "azure-conv",
    first: { mu: 6.63, sigma: 0.985, max: 14_050 },
    output: { mu: 4.86, sigma: 0.99, max: 1_000 },
    arrivals: { kind: "poisson" },
  },
];

/** `perS`: requests a second, all turns counted. */
export function makeWorkload(shape: Shape, count: number, perS: number, seed: number): Workload {
  const dice = diceOf(seed);
  const { again = 0, gap } = shape;
  const sessionsPerMs = (perS * (1 - again)) / 1_000;
  const requests: SimRequest[] = [];
  const arrive = arrivals(shape.arrivals, sessionsPerMs, dice);
  const fresh = counter();
  const shared = Array.from({ length: shape.sharedBlocks ?? 0 }, fresh);
  const systems = Array.from({ length: shape.systems?.count ?? 0 }, () =>
    Array.from({ length: shape.systems?.blocks ?? 0 }, fresh),
  );
  // Conversations that began before the run are in their later turns when it begins.
  const earlierMs =
    gap === undefined ? 0 : (1_000 * Math.exp(gap.mu + gap.sigma ** 2 / 2) * 3 * again) / (1 - again);
  const untilMs = (count * 1_000) / perS;
  for (;;) {
    const beganMs = arrive() - earlierMs;
    if (beganMs > untilMs) break;
    let atMs = beganMs;
    const place = dice();
    const blocks = [...shared];
    if (shape.systems !== undefined && dice() < shape.systems.part)
      blocks.push(...(systems[zipf(dice, systems.length)] ?? []));
    let input = blocks.length * BLOCK_TOKENS + draw(dice, shape.first);
    const opening = fresh();
    for (;;) {
      input = Math.min(INPUT_TOKENS_MAX, input);
      while ((blocks.length + 1) * BLOCK_TOKENS <= input) blocks.push(fresh());
      requests.push({ atMs, input, output: draw(dice, shape.output), blocks: [...blocks], opening, place });
      if (gap === undefined || shape.growth === undefined || dice() >= again) break;
      atMs += 1_000 * logNormal(dice, gap.mu, gap.sigma);
      input += draw(dice, shape.growth);
    }
  }
  requests.sort((a, b) => a.atMs - b.atMs);
  return {
    name: shape.name,
    reuse: again > 0 || shape.systems !== undefined,
    requests: requests.filter(({ atMs }) => atMs >= 0 && atMs <= untilMs),
  };
}

function counter(): () => number {
  let next = 1;
  return () => next++;
}

function draw(dice: Dice, { mu, sigma, max }: Length): number {
  return Math.max(1, Math.min(max, Math.round(logNormal(dice, mu, sigma))));
}

function arrivals(kind: Shape["arrivals"], perMs: number, dice: Dice): () => number {
  let nowMs = 0;
  return () => {
    if (kind.kind === "gamma") {
      const shape = 1 / kind.cv ** 2;
      nowMs += gamma(dice, shape, 1 / perMs / shape);
      return nowMs;
    }
    nowMs += exponential(dice, 1 / perMs);
    return kind.kind === "batches" ? Math.ceil(nowMs / kind.everyMs) * kind.everyMs : nowMs;
  };
}
