/**
 * Reads a training checkpoint (`weights.f32`, `weights.json`) and gives each GGUF tensor its values.
 *
 * PyTorch's names map one to one, with one exception: kv_b holds keys and values of every head in one matrix, and
 * the GGUF wants the key part per head transposed (so that MLA can absorb it into the query) and the value part apart.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { at } from "../at.ts";
import type { ModelShape } from "./deepseek2.ts";

interface Listing {
  readonly shape: Record<string, number>;
  readonly step: number;
  readonly loss: number;
  readonly tensors: readonly (readonly [string, readonly number[]])[];
}

export interface Checkpoint {
  readonly shape: ModelShape;
  readonly step: number;
  readonly loss: number;
  values(ggufName: string): Float32Array;
}

/** Trained on 512 tokens; the rotary base carries further, the model card says how well. */
const CONTEXT_TOKENS = 4096;

const NAMES: Record<string, string> = {
  attn_norm: "attn_norm.weight",
  attn_q_a: "attn.q_a.weight",
  attn_q_a_norm: "attn.q_a_norm.weight",
  attn_q_b: "attn.q_b.weight",
  attn_kv_a_mqa: "attn.kv_a.weight",
  attn_kv_a_norm: "attn.kv_a_norm.weight",
  attn_output: "attn.output.weight",
  ffn_norm: "ffn_norm.weight",
  ffn_gate: "ffn.gate.weight",
  ffn_up: "ffn.up.weight",
  ffn_down: "ffn.down.weight",
  ffn_gate_inp: "ffn.router",
  exp_probs_b: "ffn.bias",
  ffn_gate_exps: "ffn.gate",
  ffn_up_exps: "ffn.up",
  ffn_down_exps: "ffn.down",
  ffn_gate_shexp: "ffn.shared.gate.weight",
  ffn_up_shexp: "ffn.shared.up.weight",
  ffn_down_shexp: "ffn.shared.down.weight",
};

const TOP: Record<string, string> = {
  "token_embd.weight": "embed.weight",
  "output_norm.weight": "norm.weight",
  "output.weight": "head.weight",
};

export function readCheckpoint(directory: string): Checkpoint {
  const listing = JSON.parse(readFileSync(join(directory, "weights.json"), "utf8")) as Listing;
  const bytes = readFileSync(join(directory, "weights.f32"));
  const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const tensors = new Map<string, Float32Array>();
  let offset = 0;
  for (const [name, dims] of listing.tensors) {
    const size = dims.reduce((product, n) => product * n, 1);
    tensors.set(name, all.subarray(offset, offset + size));
    offset += size;
  }
  const get = (name: string): Float32Array => {
    const found = tensors.get(name);
    if (!found) throw new Error(`no tensor ${name} in the checkpoint`);
    return found;
  };
  const shape = shapeOf(listing.shape);
  return {
    shape,
    step: listing.step,
    loss: listing.loss,
    values(ggufName) {
      const top = TOP[ggufName];
      if (top) return get(top);
      const [, block, rest] = /^blk\.(\d+)\.(\w+)\./u.exec(ggufName) ?? [];
      if (rest === "attn_k_b") return keyPart(get(`blocks.${block}.attn.kv_b.weight`), shape);
      if (rest === "attn_v_b") return valuePart(get(`blocks.${block}.attn.kv_b.weight`), shape);
      const name = NAMES[rest ?? ""];
      if (!name) throw new Error(`no source for ${ggufName}`);
      return get(`blocks.${block}.${name}`);
    },
  };
}

/** kv_b is [heads, nope + value, rank]; keys become [heads, rank, nope], slowest first. */
function keyPart(kvB: Float32Array, s: ModelShape): Float32Array {
  const out = new Float32Array(s.heads * s.kvRank * s.dNope);
  for (let h = 0; h < s.heads; h++) {
    for (let n = 0; n < s.dNope; n++) {
      for (let r = 0; r < s.kvRank; r++) {
        out[(h * s.kvRank + r) * s.dNope + n] = at(kvB, (h * (s.dNope + s.dValue) + n) * s.kvRank + r);
      }
    }
  }
  return out;
}

function valuePart(kvB: Float32Array, s: ModelShape): Float32Array {
  const out = new Float32Array(s.heads * s.dValue * s.kvRank);
  for (let h = 0; h < s.heads; h++) {
    const from = (h * (s.dNope + s.dValue) + s.dNope) * s.kvRank;
    out.set(kvB.subarray(from, from + s.dValue * s.kvRank), h * s.dValue * s.kvRank);
  }
  return out;
}

function shapeOf(raw: Record<string, number>): ModelShape {
  const n = (name: string): number => {
    const value = raw[name];
    if (value === undefined) throw new Error(`the checkpoint's shape lacks ${name}`);
    return value;
  };
  return {
    layers: n("layers"),
    denseLayers: n("dense_layers"),
    dModel: n("d_model"),
    heads: n("heads"),
    qRank: n("q_rank"),
    kvRank: n("kv_rank"),
    dNope: n("d_nope"),
    dRope: n("d_rope"),
    dValue: n("d_value"),
    dFf: n("d_ff"),
    experts: n("experts"),
    expertsUsed: n("experts_used"),
    groups: n("groups"),
    groupsUsed: n("groups_used"),
    dExpert: n("d_expert"),
    expertScale: n("expert_scale"),
    ropeBase: n("rope_base"),
    normEps: n("norm_eps"),
    contextLength: CONTEXT_TOKENS,
  };
}
