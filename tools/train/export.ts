/**
 * Stage 3: a checkpoint becomes a GGUF. `node tools/train/export.ts --from DIR [--quant Q8_0|F16|F32] [--to FILE]`
 *
 * Without `--to` it writes the bundled model itself, in Q8_0.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { MODEL_ID, MODEL_PATH, readTokenizer } from "./bundled.ts";
import { readCheckpoint } from "./gguf/checkpoint.ts";
import { metadataOf, quantOf, tensorsOf } from "./gguf/deepseek2.ts";
import type { Quant } from "./gguf/quantize.ts";
import { writeGguf } from "./gguf/write.ts";

const { values } = parseArgs({
  options: {
    from: { type: "string", default: "/tmp/sluice-train/run" },
    quant: { type: "string", default: "Q8_0" },
    to: { type: "string", default: MODEL_PATH },
  },
});

const isQuant = (text: string): text is Quant => text === "F32" || text === "F16" || text === "Q8_0";
const quant = values.quant;
if (!isQuant(quant)) throw new Error(`--quant ${quant}: F32, F16 or Q8_0`);

const checkpoint = readCheckpoint(values.from);
const tokenizer = readTokenizer();
const tensors = tensorsOf(checkpoint.shape, tokenizer.size).map((spec) => ({
  name: spec.name,
  dims: spec.dims,
  quant: quantOf(spec, quant),
  values: () => checkpoint.values(spec.name),
}));
const file = writeGguf(metadataOf(checkpoint.shape, tokenizer, { name: MODEL_ID, quant }), tensors);
writeFileSync(values.to, file);
console.log(
  `${values.to}: ${quant}, ${file.length} bytes, step ${checkpoint.step}, training loss ${checkpoint.loss.toFixed(4)}`,
);
