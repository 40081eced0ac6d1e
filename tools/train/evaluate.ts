/**
 * Stage 4: accuracy per skill on held-out questions. `node tools/train/evaluate.ts [--model FILE] [--each N] [--show] [--history N]`
 *
 * `--history N` puts earlier turns of about N tokens before every question, to see how far beyond its training
 * length the model holds. Every question's numbers were kept out of training in any phrasing. An answer counts only if it is the expected
 * text to the last character: a right number in a broken sentence is a miss. Talk and questions outside the model's
 * knowledge use hand-written phrasings that are in no list of the corpus.
 */
import { parseArgs } from "node:util";
import { at } from "./at.ts";
import { MODEL_PATH, readTokenizer } from "./bundled.ts";
import { Dice } from "./corpus/dice.ts";
import { heldOutSample, trainingSample } from "./corpus/mix.ts";
import { SKILLS } from "./corpus/sample.ts";
import { UNKNOWN } from "./corpus/outside.ts";
import { INTENTS } from "./corpus/talk.ts";
import { openGreedy } from "./engine.ts";
import { END_THINK, render, type Turn } from "./template.ts";
import { UNSEEN_ASKS } from "./unseen.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: MODEL_PATH },
    each: { type: "string", default: "200" },
    seed: { type: "string", default: "4711" },
    history: { type: "string", default: "0" },
    show: { type: "boolean", default: false },
  },
});

const tokenizer = readTokenizer();

interface Case {
  readonly row: string;
  readonly thinking: boolean;
  readonly prompt: string;
  readonly expected: string;
}

const historyTokens = Number(values.history);

/** Earlier turns of about `historyTokens` tokens, drawn from the training mix. */
function longHistory(dice: Dice): Turn[] {
  const turns: Turn[] = [];
  let length = 0;
  while (length < historyTokens) {
    const { user, answer, skill } = trainingSample(dice);
    if (skill === "count") continue;
    turns.push({ user, answer });
    length += tokenizer.encode(user + answer).length + 4;
  }
  return turns;
}

function arithmeticCases(each: number, seed: number): Case[] {
  const dice = new Dice(seed);
  return SKILLS.flatMap((skill) =>
    [true, false].flatMap((thinking) => {
      const seen = new Set<string>();
      const cases: Case[] = [];
      while (cases.length < each) {
        const language = cases.length % 2 === 0 ? "en" : "zh";
        const c = heldOutSample(skill, { dice, language, thinking });
        const prompt = render(c.system, [...longHistory(dice), ...c.history], c.user, thinking);
        if (seen.has(prompt)) continue;
        seen.add(prompt);
        cases.push({ row: skill, thinking, prompt, expected: c.answer });
      }
      return cases;
    }),
  );
}

function talkCases(): Case[] {
  return UNSEEN_ASKS.flatMap(({ language, intent, asks }) => {
    const expected = intent === "unknown" ? UNKNOWN[language].answer : at(INTENTS[language], intent).answer;
    const row = intent === "unknown" ? "unknown" : "talk";
    return asks.flatMap((ask) =>
      [true, false].map((thinking) => ({ row, thinking, prompt: render("", [], ask, thinking), expected })),
    );
  });
}

/** What follows the reasoning, or everything where there is none. */
const answerOf = (text: string, thinking: boolean): string =>
  thinking ? text.slice(text.indexOf(END_THINK) + END_THINK.length) : text;

const cases = [
  ...arithmeticCases(Number(values.each), Number(values.seed)),
  ...(historyTokens === 0 ? talkCases() : []),
];
const engine = await openGreedy(values.model, historyTokens + 1024);
const started = performance.now();
const outputs = await engine.run(
  cases.map((c) => tokenizer.encode(c.prompt)),
  450,
);
const seconds = (performance.now() - started) / 1000;
await engine.close();

const score = new Map<string, { right: number; of: number }>();
cases.forEach((c, i) => {
  const text = tokenizer.decode(at(outputs, i));
  const isRight = answerOf(text, c.thinking) === c.expected;
  for (const row of [
    c.row,
    ...(c.row === "talk" || c.row === "unknown" ? [] : ["all arithmetic and counting"]),
  ]) {
    const key = `${row.padEnd(28)}${c.thinking ? "thinking" : "direct  "}`;
    const s = score.get(key) ?? { right: 0, of: 0 };
    score.set(key, { right: s.right + (isRight ? 1 : 0), of: s.of + 1 });
  }
  if (!isRight && values.show) console.log(`MISS ${c.prompt}\n  got      ${text}\n  expected ${c.expected}`);
});
for (const [key, { right, of }] of [...score].sort(([a], [b]) => a.localeCompare(b))) {
  console.log(
    `${key}  ${String(right).padStart(5)} / ${String(of).padEnd(5)} ${((100 * right) / of).toFixed(2).padStart(7)} %`,
  );
}
const tokens = outputs.reduce((sum, ids) => sum + ids.length, 0);
console.log(`${tokens} tokens in ${seconds.toFixed(1)} s`);
