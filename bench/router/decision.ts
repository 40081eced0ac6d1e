/**
 * How long a decision takes: the production `choose` with sixty-four nodes that have all said full sketches, for a prompt
 * of twelve thousand tokens, sketches decoded as an isolate has them after the first request of a second.
 */
import { marksOf, SKETCH_MARKS_MAX, sketchOf, trailOf } from "@sluice/protocol/sketch";
import type { LiveNode } from "../../src/core/node.ts";
import { choose } from "../../src/routing/choose.ts";
import { startMemory } from "../../src/routing/isolate.ts";
import { diceOf, type Dice } from "./dice.ts";

const NODES = 64;
const PROMPT_CHARS = 48_000;
const ROUNDS = 60;
const DECISIONS = 100;
const NOW_MS = 1_000_000;

/** Microseconds of this process's CPU, so that a busy machine is no slower router: of the rounds' means, the median. */
export function decisionUs(): number {
  const dice = diceOf(1);
  const content = Array.from({ length: PROMPT_CHARS }, () => String.fromCharCode(97 + dice() * 26)).join("");
  const body = { messages: [{ role: "user", content }] };
  const prompt = marksOf(trailOf({ model: "m", thinkingDefault: false, body }), "tag");
  const nodes = Array.from({ length: NODES }, (_, i) => nodeOf(i, prompt.marks, dice));
  const memory = startMemory();
  for (const node of nodes) memory.call(node, { model: "m", promptTokens: 1_000 }, NOW_MS - 10);
  const wish = { model: "m", promptTokens: 12_000, regions: null, prompt, opening: prompt.opening };
  const means: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const started = process.cpuUsage();
    for (let i = 0; i < DECISIONS; i++) choose(wish, nodes, memory.knowledge(NOW_MS), dice);
    const { user, system } = process.cpuUsage(started);
    means.push((user + system) / DECISIONS);
  }
  means.sort((a, b) => a - b);
  return Number((means[ROUNDS / 2] ?? 0).toFixed(1));
}

/** Each has another part of the prompt cached, among many other prompts. */
function nodeOf(i: number, marks: Uint32Array, dice: Dice): LiveNode {
  const others = Array.from({ length: SKETCH_MARKS_MAX - marks.length }, () => Math.floor(dice() * 2 ** 32));
  const held = marks.slice(0, Math.floor((marks.length * i) / NODES));
  return {
    id: `node_${String(i).padStart(10, "0")}`,
    region: `region-${i % 4}`,
    url: "https://node.invalid",
    publicKey: "",
    boot: "boot",
    state: "ready",
    models: [{ id: "m", weights: "w", contextTokens: 200_000, features: ["tools", "resume"] }],
    load: {
      slots: 64,
      slotsBusy: Math.floor(dice() * 64),
      queued: 0,
      queueMax: 100,
      prefillTokensPending: Math.floor(dice() * 50_000),
      prefillTokensPerS: 8_000,
      decodeTokensPerS: 40,
      kvTokensFree: 0,
    },
    speaks: { min: 1, max: 1 },
    callKeyIds: [],
    beatAtMs: NOW_MS - Math.floor(dice() * 2_000),
    sketch: sketchOf([...held, ...others]),
  };
}
