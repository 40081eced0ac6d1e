/** Runs the targets over mutated bodies and counts what became of them. */
import { Dice } from "./dice.ts";
import { GOOD_CHATS, GOOD_COMPLETIONS, GOOD_EMBEDDINGS } from "./good.ts";
import { mutated } from "./mutate.ts";
import { targets, type Dialect } from "./targets.ts";

export type Crash = {
  readonly target: string;
  readonly dialect: Dialect;
  /** `--seed S --only N` makes this body again. */
  readonly body: number;
  readonly what: string;
  readonly text: string;
};

export type Fuzzed = {
  readonly seed: number;
  readonly bodies: number;
  readonly counts: readonly {
    readonly target: string;
    readonly dialect: Dialect;
    readonly outcome: string;
    readonly count: number;
  }[];
  readonly crashes: readonly Crash[];
};

const CRASHES_SHOWN = 20;
const TEXT_SHOWN = 400;
/** Of so many bodies one is a text completion, and one asks for embeddings. */
const OTHERS_OF = 8;
const GOOD = {
  "openai.chat": GOOD_CHATS,
  "openai.completion": GOOD_COMPLETIONS,
  "openai.embedding": GOOD_EMBEDDINGS,
} as const satisfies { readonly [D in Dialect]: readonly object[] };

function dialectOf(body: number): Dialect {
  if (body % OTHERS_OF === 0) return "openai.completion";
  return body % OTHERS_OF === 1 ? "openai.embedding" : "openai.chat";
}

export async function fuzz(wish: {
  readonly seed: number;
  readonly bodies: number;
  readonly only?: number | undefined;
}): Promise<Fuzzed> {
  const counts = new Map<string, number>();
  const crashes: Crash[] = [];
  const under = targets();
  const [from, to] = wish.only === undefined ? [0, wish.bodies] : [wish.only, wish.only + 1];
  for (let body = from; body < to; body++) {
    const dice = new Dice(wish.seed * 1_000_003 + body);
    const dialect = dialectOf(body);
    const bytes = mutated(dice.pick(GOOD[dialect]), dice);
    for (const { name: target, read } of under) {
      let outcome: string;
      try {
        outcome = await read(dialect, bytes);
      } catch (error) {
        outcome = "crash";
        const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
        const text = new TextDecoder().decode(bytes).slice(0, TEXT_SHOWN);
        if (crashes.length < CRASHES_SHOWN) crashes.push({ target, dialect, body, what, text });
      }
      const key = `${target}\n${dialect}\n${outcome}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return {
    seed: wish.seed,
    bodies: to - from,
    counts: [...counts]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, count]) => {
        const [target = "", dialect, outcome = ""] = key.split("\n");
        return { target, dialect: dialect as Dialect, outcome, count };
      }),
    crashes,
  };
}

/** Crashes, and refusals that blame us. */
export function isBad(outcome: string): boolean {
  return outcome === "crash" || outcome.startsWith("5");
}
