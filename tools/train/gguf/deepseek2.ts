/**
 * What a `deepseek2` GGUF must contain: metadata and the list of tensors with their dimensions.
 *
 * The single place that knows names and shapes; export and random models both follow it. Every key is written even
 * where the loader has a default: left out, some abort the process and some silently change the output (softmax
 * instead of sigmoid gates, no group limit, no scaling).
 */
import { CHAT_TEMPLATE } from "../template.ts";
import { FILE_TYPE, type Quant } from "./quantize.ts";
import type { Metadata } from "./write.ts";

export interface ModelShape {
  readonly layers: number;
  readonly denseLayers: number;
  readonly dModel: number;
  readonly heads: number;
  readonly qRank: number;
  readonly kvRank: number;
  readonly dNope: number;
  readonly dRope: number;
  readonly dValue: number;
  readonly dFf: number;
  readonly experts: number;
  readonly expertsUsed: number;
  readonly groups: number;
  readonly groupsUsed: number;
  readonly dExpert: number;
  readonly expertScale: number;
  readonly ropeBase: number;
  readonly normEps: number;
  readonly contextLength: number;
}

export interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly merges: readonly (readonly [string, string])[];
}

export interface TensorSpec {
  readonly name: string;
  readonly dims: readonly number[];
  /** `norm` starts at one, `bias` at zero; both and `router` always stay F32. */
  readonly role: "matrix" | "norm" | "router" | "bias" | "embedding";
}

/** Layer counts the loader takes for smaller published models without low-rank queries. */
const MISREAD_LAYER_COUNTS = [26, 27, 47, 48];

export function metadataOf(
  s: ModelShape,
  vocabulary: Vocabulary,
  about: { name: string; quant: Quant },
): Map<string, Metadata> {
  if (MISREAD_LAYER_COUNTS.includes(s.layers))
    throw new Error(`${s.layers} layers would be read as another model`);
  const u32 = (value: number): Metadata => ({ type: "u32", value });
  const f32 = (value: number): Metadata => ({ type: "f32", value });
  const text = (value: string): Metadata => ({ type: "string", value });
  const own: Record<string, Metadata> = {
    block_count: u32(s.layers),
    context_length: u32(s.contextLength),
    embedding_length: u32(s.dModel),
    feed_forward_length: u32(s.dFf),
    vocab_size: u32(vocabulary.tokens.length),
    "attention.head_count": u32(s.heads),
    "attention.head_count_kv": u32(1),
    "attention.layer_norm_rms_epsilon": f32(s.normEps),
    "attention.q_lora_rank": u32(s.qRank),
    "attention.kv_lora_rank": u32(s.kvRank),
    "attention.key_length": u32(s.kvRank + s.dRope),
    "attention.value_length": u32(s.kvRank),
    "attention.key_length_mla": u32(s.dNope + s.dRope),
    "attention.value_length_mla": u32(s.dValue),
    "rope.dimension_count": u32(s.dRope),
    "rope.freq_base": f32(s.ropeBase),
    leading_dense_block_count: u32(s.denseLayers),
    expert_count: u32(s.experts),
    expert_used_count: u32(s.expertsUsed),
    expert_feed_forward_length: u32(s.dExpert),
    expert_shared_count: u32(1),
    expert_weights_scale: f32(s.expertScale),
    expert_weights_norm: { type: "bool", value: true },
    expert_gating_func: u32(2),
    expert_group_count: u32(s.groups),
    expert_group_used_count: u32(s.groupsUsed),
  };
  return new Map<string, Metadata>([
    ["general.architecture", text("deepseek2")],
    ["general.name", text(about.name)],
    ["general.license", text("mit")],
    ["general.file_type", u32(FILE_TYPE[about.quant])],
    ...Object.entries(own).map(([key, value]): [string, Metadata] => [`deepseek2.${key}`, value]),
    ["tokenizer.ggml.model", text("gpt2")],
    ["tokenizer.ggml.pre", text("deepseek-v3")],
    ["tokenizer.ggml.tokens", { type: "strings", value: vocabulary.tokens }],
    ["tokenizer.ggml.token_type", { type: "i32s", value: vocabulary.types }],
    ["tokenizer.ggml.merges", { type: "strings", value: vocabulary.merges.map((pair) => pair.join(" ")) }],
    ["tokenizer.ggml.bos_token_id", u32(0)],
    ["tokenizer.ggml.eos_token_id", u32(1)],
    ["tokenizer.ggml.padding_token_id", u32(2)],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: true }],
    ["tokenizer.ggml.add_eos_token", { type: "bool", value: false }],
    ["tokenizer.chat_template", text(CHAT_TEMPLATE)],
  ]);
}

export function tensorsOf(s: ModelShape, vocabularySize: number): TensorSpec[] {
  const list: TensorSpec[] = [];
  const put = (name: string, dims: readonly number[], role: TensorSpec["role"] = "matrix"): void => {
    list.push({ name, dims, role });
  };
  put("token_embd.weight", [s.dModel, vocabularySize], "embedding");
  put("output_norm.weight", [s.dModel], "norm");
  put("output.weight", [s.dModel, vocabularySize]);
  for (let i = 0; i < s.layers; i++) {
    const block = `blk.${i}.`;
    put(`${block}attn_norm.weight`, [s.dModel], "norm");
    put(`${block}attn_q_a.weight`, [s.dModel, s.qRank]);
    put(`${block}attn_q_a_norm.weight`, [s.qRank], "norm");
    put(`${block}attn_q_b.weight`, [s.qRank, s.heads * (s.dNope + s.dRope)]);
    put(`${block}attn_kv_a_mqa.weight`, [s.dModel, s.kvRank + s.dRope]);
    put(`${block}attn_kv_a_norm.weight`, [s.kvRank], "norm");
    put(`${block}attn_k_b.weight`, [s.dNope, s.kvRank, s.heads]);
    put(`${block}attn_v_b.weight`, [s.kvRank, s.dValue, s.heads]);
    put(`${block}attn_output.weight`, [s.heads * s.dValue, s.dModel]);
    put(`${block}ffn_norm.weight`, [s.dModel], "norm");
    if (i < s.denseLayers) {
      put(`${block}ffn_gate.weight`, [s.dModel, s.dFf]);
      put(`${block}ffn_up.weight`, [s.dModel, s.dFf]);
      put(`${block}ffn_down.weight`, [s.dFf, s.dModel]);
      continue;
    }
    put(`${block}ffn_gate_inp.weight`, [s.dModel, s.experts], "router");
    put(`${block}exp_probs_b.bias`, [s.experts], "bias");
    put(`${block}ffn_gate_exps.weight`, [s.dModel, s.dExpert, s.experts]);
    put(`${block}ffn_up_exps.weight`, [s.dModel, s.dExpert, s.experts]);
    put(`${block}ffn_down_exps.weight`, [s.dExpert, s.dModel, s.experts]);
    put(`${block}ffn_gate_shexp.weight`, [s.dModel, s.dExpert]);
    put(`${block}ffn_up_shexp.weight`, [s.dModel, s.dExpert]);
    put(`${block}ffn_down_shexp.weight`, [s.dExpert, s.dModel]);
  }
  return list;
}

/** The format a tensor gets when the file as a whole is `quant`. */
export const quantOf = (spec: TensorSpec, quant: Quant): Quant =>
  spec.role === "matrix" || spec.role === "embedding" ? quant : "F32";
