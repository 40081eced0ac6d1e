/** The parts of the scene: which engine, what is asked, and what falls on it. */
import { join, resolve } from "node:path";
import type { Dice } from "../../tools/train/corpus/dice.ts";
import type { Question } from "./client.ts";
import type { Weather } from "./injector.ts";
import { ggufSpelling, scriptSpelling } from "./spelling.ts";
import type { Part } from "./scene.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const WEIGHTS = join(ROOT, "gpu-node/models/sluice-tiny.gguf");
/** Any node can take what two others held. */
const SLOTS = ["--slots", "32"];
const QUESTIONS = 24;

const EVERYTHING: Weather = {
  nodes: [
    [5, "kill"],
    [2, "freeze"],
    [1, "slow"],
    [1, "restart"],
  ],
  wires: [
    [6, "cut"],
    [3, "reset"],
    [1, "stall"],
    [1, "throttle"],
  ],
  nodePauseMs: [500, 2_000],
  wirePauseMs: [100, 400],
};

/** Some hundred tokens each, thinking or not. */
function counting(dice: Dice): readonly Question[] {
  return Array.from({ length: QUESTIONS }, (_, i) => {
    const from = dice.int(1, 9);
    const thinks = i % 4 === 0;
    return {
      model: thinks ? "deepseek-reasoner" : "deepseek-chat",
      content: thinks
        ? `What is ${dice.int(100, 999)} + ${dice.int(100, 999)}?`
        : `Count from ${from} to ${from + dice.int(15, 40)}.`,
      outputMax: 256,
    };
  });
}

function scripted(dice: Dice): readonly Question[] {
  return Array.from({ length: QUESTIONS }, (_, i) => {
    const think = i % 3 === 0 ? dice.int(1, 20) : 0;
    // Words, or text whose characters are of several bytes: a token is a byte there.
    const what =
      i % 4 === 3 ? { text: "größer als 12 €, 数字も。 ".repeat(4) } : { tokens: dice.int(60, 160) };
    const script = { ...what, think, everyMs: dice.int(5, 15), prefillMsPerToken: 0.1 };
    return {
      model: think > 0 ? "deepseek-reasoner" : "deepseek-chat",
      content: `${i} ${JSON.stringify({ script })}`,
      outputMax: 1_024,
    };
  });
}

const script = { engine: "script", nodeArgs: SLOTS, questions: scripted, spell: scriptSpelling() } as const;

export function partsFor(streams: number): readonly Part[] {
  const llama: Part = {
    name: "llama",
    engine: "llama",
    nodeArgs: ["--slots", "8"],
    homeMs: 0,
    streams,
    lanes: 8,
    weather: EVERYTHING,
    questions: counting,
    spell: ggufSpelling(WEIGHTS),
  };
  const larger: Part = {
    ...script,
    name: "script",
    homeMs: 0,
    streams: 2 * streams,
    lanes: 32,
    weather: EVERYTHING,
  };
  return [llama, larger, farAway(Math.ceil(streams / 4))];
}

/** The account's object is 150 ms away, and every failover has to tell it. */
function farAway(streams: number): Part {
  const weather = {
    ...EVERYTHING,
    nodes: [[1, "kill"]] as const,
    wires: [[1, "cut"] as const, [1, "reset"] as const],
  };
  return { ...script, name: "script, home 150 ms away", homeMs: 150, streams, lanes: 16, weather };
}

/** The short form: every kind of blow, once or more. */
export function shortPart(streams: number): Part {
  const nodes = [[3, "kill"] as const, [1, "freeze"] as const];
  return {
    ...script,
    name: "script, short",
    homeMs: 0,
    streams,
    lanes: 12,
    weather: { ...EVERYTHING, nodes, nodePauseMs: [100, 200], wirePauseMs: [50, 200] },
  };
}
