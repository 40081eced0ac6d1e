/**
 * Stage 1: makes the corpus and the tokenizer. `node tools/train/data.ts --out DIR [--tokens N] [--seed N]`
 *
 * Writes `DIR/tokens-L.u16` (rows of L token ids), `DIR/loss-L.u8` (how much each counts in the loss) for two
 * row lengths L, and `tools/train/tokenizer.json`. Only what the model itself must write carries loss: the last turn of a conversation.
 */
import { mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { at } from "./at.ts";
import { Dice } from "./corpus/dice.ts";
import { trainingSample, type Conversation } from "./corpus/mix.ts";
import { END_THINK, EOS, PAD, render } from "./template.ts";
import { learnMerges } from "./tokenizer/learn.ts";
import { Tokenizer, tokenizerFromFile, type TokenizerFile } from "./tokenizer/tokenizer.ts";

/** Attention's cost grows with the row, and most conversations are short: only long ones pay for 512. */
const ROW_LENGTHS = [256, 512];
const VOCABULARY = 1024;
const TEXTS_FOR_MERGES = 60_000;
const TOKENIZER_PATH = join(import.meta.dirname, "tokenizer.json");

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "/tmp/sluice-train/data" },
    tokens: { type: "string", default: "24000000" },
    seed: { type: "string", default: "1" },
    /** Keep the committed tokenizer: needed when continuing a checkpoint. */
    "keep-tokenizer": { type: "boolean", default: false },
  },
});

const prompt = (c: Conversation): string => render(c.system, c.history, c.user, c.thinking);
const completion = (c: Conversation): string => `${c.thinking ? c.thought + END_THINK : ""}${c.answer}${EOS}`;

function learnTokenizer(): Tokenizer {
  const dice = new Dice(77);
  const texts = Array.from({ length: TEXTS_FOR_MERGES }, () => {
    const c = trainingSample(dice);
    return [c.system, c.user, c.thought, c.answer];
  }).flat();
  const special = new Tokenizer([]).size;
  const merges = learnMerges(texts, VOCABULARY - special);
  writeFileSync(TOKENIZER_PATH, `${JSON.stringify({ merges: merges.map((m) => m.join(" ")) }, null, 2)}\n`);
  return new Tokenizer(merges);
}

/** Where a whole answer hangs on one token, that token counts for more; it is too rare to be learnt otherwise. */
const OPENING = { tokens: 4, weight: 3 } as const;
const COUNT_END = { tokens: 2, weight: 10 } as const;

interface Document {
  readonly ids: readonly number[];
  /** How much each token counts in the loss; 0 for what the model need not write. */
  readonly weights: Uint8Array;
}

/** Rows of one length, filled with whole conversations; the few places left at a row's end are padding. */
class Rows {
  readonly length: number;
  rows = 0;
  used = 0;
  readonly #pad: number;
  readonly #tokens: number;
  readonly #loss: number;
  readonly #waiting: Document[] = [];

  constructor(length: number, pad: number, out: string) {
    this.length = length;
    this.#pad = pad;
    this.#tokens = openSync(join(out, `tokens-${length}.u16`), "w");
    this.#loss = openSync(join(out, `loss-${length}.u8`), "w");
  }

  add(doc: Document): void {
    this.#waiting.push(doc);
    if (this.#waiting.length >= 48) this.#writeRow();
  }

  #writeRow(): void {
    const tokens = new Uint16Array(this.length).fill(this.#pad);
    const loss = new Uint8Array(this.length);
    let used = 0;
    for (;;) {
      const fits = this.#waiting.findIndex((d) => used + d.ids.length <= this.length);
      const [doc] = fits < 0 ? [] : this.#waiting.splice(fits, 1);
      if (!doc) break;
      tokens.set(doc.ids, used);
      loss.set(doc.weights, used);
      used += doc.ids.length;
    }
    writeSync(this.#tokens, new Uint8Array(tokens.buffer));
    writeSync(this.#loss, loss);
    this.rows++;
    this.used += used;
  }
}

/** Draws conversations until `tokenCount` tokens of rows are full. */
function writeRows(tokenizer: Tokenizer, tokenCount: number, dice: Dice): Rows[] {
  const kinds = ROW_LENGTHS.map((length) => new Rows(length, tokenizer.id(PAD), values.out));
  const written = (): number => kinds.reduce((sum, kind) => sum + kind.rows * kind.length, 0);
  while (written() < tokenCount) {
    const c = trainingSample(dice);
    const head = tokenizer.encode(prompt(c));
    const ids = [...head, ...tokenizer.encode(completion(c))];
    const weights = new Uint8Array(ids.length).fill(1, head.length);
    weights.fill(OPENING.weight, head.length, head.length + OPENING.tokens);
    if (c.skill === "count") weights.fill(COUNT_END.weight, ids.length - COUNT_END.tokens);
    kinds.find((kind) => ids.length <= kind.length)?.add({ ids, weights });
  }
  return kinds;
}

mkdirSync(values.out, { recursive: true });
const tokenizer = values["keep-tokenizer"]
  ? tokenizerFromFile(JSON.parse(readFileSync(TOKENIZER_PATH, "utf8")) as TokenizerFile)
  : learnTokenizer();
console.log(
  `vocabulary ${tokenizer.size}, last merge ${at(tokenizer.merges, tokenizer.merges.length - 1).join("")}`,
);
for (const kind of writeRows(tokenizer, Number(values.tokens), new Dice(Number(values.seed)))) {
  const size = kind.rows * kind.length;
  const padding = (100 - (100 * kind.used) / size).toFixed(2);
  console.log(`${kind.rows} rows of ${kind.length}: ${size} tokens, ${padding} % padding`);
}
