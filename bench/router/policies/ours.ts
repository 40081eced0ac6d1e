/** Ours: the very `choose` and the very memory of an isolate that run in production, given the simulated fleet. */
import { charsHeldBy, type Marks } from "@sluice/protocol/sketch";
import type { LiveNode } from "../../../src/core/node.ts";
import { choose, type Choice, type Knowledge } from "../../../src/routing/choose.ts";
import { startMemory } from "../../../src/routing/isolate.ts";
import { charsOf } from "../blocks.ts";
import type { MakePolicy, Seen } from "./policy.ts";

const MODEL = "m";

export const ours: MakePolicy = (nodes, dice) => {
  const memory = startMemory();
  let ranking: readonly Choice[] = [];
  return {
    pick({ request, marks, nowMs, seen, tried }) {
      const bySaid = new Map(seen.map((one) => [one.node.id, one]));
      const known = memory.knowledge(nowMs);
      const knowledge: Knowledge = {
        ...known,
        // Instead of decoding a sketch: the same marks, as the node would have said them then.
        heldChars: ({ id }, prompt) => {
          const one = bySaid.get(id);
          if (one === undefined) return 0;
          return charsHeldBy(prompt, (mark) => one.node.cache.saidAt(mark, one.sample.atMs));
        },
      };
      const prompt: Marks = { ...marks, charsTotal: charsOf(request.input), opening: request.opening };
      const wish = {
        model: MODEL,
        promptTokens: request.input,
        regions: null,
        prompt,
        opening: request.opening,
      };
      const live = seen.filter(({ at }) => !tried.has(at)).map(liveNode);
      ranking = choose(wish, live, knowledge, dice);
      const first = ranking[0]?.node.id;
      return first === undefined ? undefined : nodes.findIndex(({ id }) => id === first);
    },
    sent(request, { node }, nowMs) {
      const tokens = ranking.find((choice) => choice.node.id === node.id)?.uncachedTokens ?? request.input;
      const calling = memory.call(node, { model: MODEL, promptTokens: tokens }, nowMs);
      return {
        firstToken(atMs, wayMs) {
          calling.taken(nowMs + wayMs);
          calling.began(atMs);
        },
        ended: (atMs) => calling.ended("answered", atMs),
        failed: (atMs) => calling.ended("failed", atMs),
      };
    },
  };
};

const made = new WeakMap<Seen, LiveNode>();

function liveNode(seen: Seen): LiveNode {
  const known = made.get(seen);
  if (known !== undefined) return known;
  const { node, sample } = seen;
  const live: LiveNode = {
    id: node.id,
    region: node.region,
    url: "https://node.invalid",
    publicKey: "",
    boot: "boot",
    state: "ready",
    models: [{ id: MODEL, weights: "w", contextTokens: 200_000, features: [] }],
    load: {
      slots: node.kind.slots,
      slotsBusy: sample.running,
      queued: sample.waiting,
      queueMax: Number.MAX_SAFE_INTEGER,
      prefillTokensPending: sample.prefillPending,
      prefillTokensPerS: sample.prefillTokensPerS,
      decodeTokensPerS: sample.decodeTokensPerS,
      kvTokensFree: 0,
    },
    speaks: { min: 1, max: 1 },
    callKeyIds: [],
    beatAtMs: sample.atMs,
  };
  made.set(seen, live);
  return live;
}
