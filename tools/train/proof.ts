/**
 * Stage 5c: the export proof. `node tools/train/proof.ts --model FILE [--record FILE]`
 *
 * Continues every recorded prompt in llama.cpp and counts how many continuations equal PyTorch's to the last token.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { at } from "./at.ts";
import { MODEL_PATH } from "./bundled.ts";
import { openGreedy, type Greedy } from "./engine.ts";

export interface ProofRecord {
  readonly step: number;
  readonly maximumTokens: number;
  readonly prompts: readonly {
    readonly text: string;
    readonly ids: readonly number[];
    /** PyTorch's greedy tokens, the end token included. */
    readonly greedy: readonly number[];
    readonly lead: number;
  }[];
}

const RECORD_PATH = join(import.meta.dirname, "../../test/node/model/export-proof.json");
export const readRecord = (path = RECORD_PATH): ProofRecord =>
  JSON.parse(readFileSync(path, "utf8")) as ProofRecord;

const END = 1;

/** The indices of prompts whose continuation differs. */
export async function differing(engine: Greedy, record: ProofRecord): Promise<number[]> {
  const outputs = await engine.run(
    record.prompts.map((p) => p.ids),
    record.maximumTokens,
  );
  return record.prompts.flatMap((p, i) => {
    const expected = p.greedy.filter((id) => id !== END);
    const got = at(outputs, i);
    return got.length === expected.length && got.every((id, k) => id === expected[k]) ? [] : [i];
  });
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      model: { type: "string", default: MODEL_PATH },
      record: { type: "string", default: RECORD_PATH },
    },
  });
  const record = readRecord(values.record);
  const engine = await openGreedy(values.model);
  const wrong = await differing(engine, record);
  await engine.close();
  const total = record.prompts.length;
  console.log(`${total - wrong.length} of ${total} continuations equal PyTorch's (step ${record.step})`);
  for (const i of wrong)
    console.log(`  differs, closest lead ${at(record.prompts, i).lead}: ${at(record.prompts, i).text}`);
}
