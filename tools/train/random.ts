/**
 * A `deepseek2` model of any shape with random weights: a fixture for tests and benchmarks, made in a second or so.
 *
 * `makeRandomModel({ layers: 4, dModel: 256 })` gives the bytes of a GGUF, the same for the same options; as a
 * command: `node tools/train/random.ts --to FILE [--layers N] [--d-model N] [--experts N] [--vocabulary N] ...`
 * It writes nonsense at a real model's speed. The vocabulary is the bundled one, padded with made-up words.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { readTokenizer } from "./bundled.ts";
import {
  metadataOf,
  quantOf,
  tensorsOf,
  type ModelShape,
  type TensorSpec,
  type Vocabulary,
} from "./gguf/deepseek2.ts";
import type { Quant } from "./gguf/quantize.ts";
import { writeGguf } from "./gguf/write.ts";

export interface RandomModelOptions extends Partial<ModelShape> {
  readonly quant?: Quant;
  readonly seed?: number;
  readonly name?: string;
  /** At least the bundled vocabulary's size, which is the default. */
  readonly vocabularySize?: number;
  /** Peaked choices, none of them a special token: so an answer goes on until its ceiling, as a benchmark wants. */
  readonly endless?: boolean;
}

/** The bundled model's proportions, scaled by `dModel`; every width stays a multiple of 32, as Q8_0 needs. */
function completeShape(o: RandomModelOptions): ModelShape {
  const dModel = o.dModel ?? 128;
  const part = (share: number): number => Math.max(32, Math.round((dModel * share) / 32) * 32);
  const experts = o.experts ?? 8;
  const groups = o.groups ?? (experts % 4 === 0 && experts >= 8 ? 4 : 1);
  return {
    layers: o.layers ?? 4,
    denseLayers: o.denseLayers ?? 1,
    dModel,
    heads: o.heads ?? 4,
    qRank: o.qRank ?? part(0.6),
    kvRank: o.kvRank ?? part(0.4),
    dNope: o.dNope ?? 32,
    dRope: o.dRope ?? 32,
    dValue: o.dValue ?? 32,
    dFf: o.dFf ?? part(2.4),
    experts,
    expertsUsed: o.expertsUsed ?? 2,
    groups,
    groupsUsed: o.groupsUsed ?? Math.max(1, groups / 2),
    dExpert: o.dExpert ?? part(0.6),
    expertScale: o.expertScale ?? 2.5,
    ropeBase: o.ropeBase ?? 10_000,
    normEps: o.normEps ?? 1e-6,
    contextLength: o.contextLength ?? 4096,
  };
}

function vocabularyOf(size: number | undefined): Vocabulary {
  const { tokens, types, merges } = readTokenizer();
  const padding = (size ?? tokens.length) - tokens.length;
  if (padding < 0) throw new Error(`the vocabulary has at least ${tokens.length} tokens`);
  const words = Array.from({ length: padding }, (_, i) => `Ġword${i}`);
  return { tokens: [...tokens, ...words], types: [...types, ...words.map(() => 1)], merges };
}

/** Uniform noise with the wanted spread; xorshift, because a hundred million numbers are drawn. */
function noise(length: number, spread: number, seed: number): Float32Array {
  const out = new Float32Array(length);
  const scale = (spread * Math.sqrt(12)) / 4294967296;
  let x = (seed * 2654435761) | 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    out[i] = x * scale;
  }
  return out;
}

function valuesOf(spec: TensorSpec, seed: number): Float32Array {
  const length = spec.dims.reduce((product, n) => product * n, 1);
  if (spec.role === "norm") return new Float32Array(length).fill(1);
  if (spec.role === "bias") return noise(length, 0.01, seed);
  return noise(length, spec.role === "embedding" ? 0.5 : 1.2 / Math.sqrt(spec.dims[0] ?? 1), seed);
}

const ORDINARY_TYPE = 1;
/** The spread of the logits: among a thousand of them a zero is then never chosen. */
const ENDLESS_LOGIT_SPREAD = 4;

/** The output matrix of a model that never says a special token: their logits are zero, the others far from it. */
function endlessOutput(spec: TensorSpec, types: readonly number[], seed: number): Float32Array {
  const [width = 1, rows = 0] = spec.dims;
  const values = noise(width * rows, ENDLESS_LOGIT_SPREAD / Math.sqrt(width), seed);
  for (let id = 0; id < rows; id++)
    if (types[id] !== ORDINARY_TYPE) values.fill(0, id * width, (id + 1) * width);
  return values;
}

export function makeRandomModel(options: RandomModelOptions = {}): Uint8Array {
  const quant = options.quant ?? "Q8_0";
  const seed = options.seed ?? 1;
  const shape = completeShape(options);
  const vocabulary = vocabularyOf(options.vocabularySize);
  const metadata = metadataOf(shape, vocabulary, { name: options.name ?? "random", quant });
  const tensors = tensorsOf(shape, vocabulary.tokens.length).map((spec, i) => ({
    name: spec.name,
    dims: spec.dims,
    quant: quantOf(spec, quant),
    values: () =>
      options.endless === true && spec.name === "output.weight"
        ? endlessOutput(spec, vocabulary.types, seed * 10_007 + i + 1)
        : valuesOf(spec, seed * 10_007 + i + 1),
  }));
  return writeGguf(metadata, tensors);
}

export function writeRandomModel(path: string, options: RandomModelOptions = {}): void {
  writeFileSync(path, makeRandomModel(options));
}

if (import.meta.main) {
  const number = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      to: { type: "string" },
      quant: { type: "string", default: "Q8_0" },
      layers: number,
      "d-model": number,
      heads: number,
      experts: number,
      "experts-used": number,
      context: number,
      vocabulary: number,
      seed: number,
    },
  });
  if (!values.to) throw new Error("--to FILE is missing");
  const { quant } = values;
  if (quant !== "F32" && quant !== "F16" && quant !== "Q8_0") throw new Error("--quant: F32, F16 or Q8_0");
  const option = <K extends string>(key: K, text: string | undefined): { [P in K]?: number } =>
    (text === undefined ? {} : { [key]: Number(text) }) as { [P in K]?: number };
  writeRandomModel(values.to, {
    quant,
    ...option("layers", values.layers),
    ...option("dModel", values["d-model"]),
    ...option("heads", values.heads),
    ...option("experts", values.experts),
    ...option("expertsUsed", values["experts-used"]),
    ...option("contextLength", values.context),
    ...option("vocabularySize", values.vocabulary),
    ...option("seed", values.seed),
  });
}
