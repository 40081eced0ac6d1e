/**
 * Does a GGUF header describe a model that llama.cpp can load? Pure: header in, sentences out. It looks for what
 * aborts llama.cpp's process instead of raising an error (missing or contradictory sizes, mostly of `deepseek2`), and
 * for what loads but never works (no end token: generation that never stops). What passes here can still be refused
 * by the loader, with the loader's words; loading happens in a child process, so even an abort is survived.
 */
import type { GgufArray, GgufHeader, GgufValue } from "./gguf-header.ts";

const LAYERS_MAX = 1_024;
const HEADS_MAX = 65_536;
const CONTEXT_TOKENS_MAX = 1 << 28;
const EMBEDDING_MAX = 1 << 20;
const EXPERTS_MAX = 4_096;

/** The first problem found, or undefined. */
export function checkGguf(header: GgufHeader): string | undefined {
  const architecture = header.metadata.get("general.architecture");
  if (typeof architecture !== "string" || architecture === "") return "it names no general.architecture";
  if (header.tensors.size === 0)
    return "it holds no tensors: it is a vocabulary or a first shard without weights";
  const key = (name: string): GgufValue | undefined => header.metadata.get(`${architecture}.${name}`);
  return (
    checkSizes(header.metadata, architecture) ??
    checkVocabulary(header) ??
    checkEmbedding(header, key) ??
    (architecture === "deepseek2" ? checkDeepseek2(header, key) : undefined)
  );
}

type Metadata = GgufHeader["metadata"];
type Key = (name: string) => GgufValue | undefined;

function checkSizes(metadata: Metadata, architecture: string): string | undefined {
  return (
    within(metadata, `${architecture}.block_count`, LAYERS_MAX) ??
    within(metadata, `${architecture}.context_length`, CONTEXT_TOKENS_MAX) ??
    within(metadata, `${architecture}.embedding_length`, EMBEDDING_MAX) ??
    headCounts(metadata.get(`${architecture}.attention.head_count`), architecture)
  );
}

function headCounts(value: GgufValue | undefined, architecture: string): string | undefined {
  // Models without attention (mamba, rwkv) have none; hybrids have one per layer, some of them 0.
  if (value === undefined) return undefined;
  const counts = typeof value === "object" ? (value.items ?? []) : [value];
  const wrong = counts.find((count) => typeof count !== "number" || count < 0 || count > HEADS_MAX);
  return wrong === undefined ? undefined : `its ${architecture}.attention.head_count is ${String(wrong)}`;
}

function checkVocabulary(header: GgufHeader): string | undefined {
  const model = header.metadata.get("tokenizer.ggml.model");
  if (typeof model !== "string" || model === "no_vocab") return "it has no tokenizer (tokenizer.ggml.model)";
  const tokens = arrayOf(header, "tokenizer.ggml.tokens");
  if (tokens === undefined || tokens.length === 0)
    return "its tokenizer has no tokens (tokenizer.ggml.tokens)";
  const types = arrayOf(header, "tokenizer.ggml.token_type");
  if (types !== undefined && types.length !== tokens.length) {
    return `it has ${tokens.length} tokens but ${types.length} token types`;
  }
  if (tokens.items !== undefined && new Set(tokens.items).size !== tokens.length) {
    return "its vocabulary has the same token twice: it is damaged";
  }
  if (model === "gpt2" && arrayOf(header, "tokenizer.ggml.merges") === undefined) {
    return "its byte-level tokenizer has no merges (tokenizer.ggml.merges)";
  }
  const end = header.metadata.get("tokenizer.ggml.eos_token_id");
  if (end === undefined)
    return "it names no end token (tokenizer.ggml.eos_token_id): its answers would never stop";
  for (const name of ["eos", "bos"]) {
    const id = header.metadata.get(`tokenizer.ggml.${name}_token_id`);
    if (id !== undefined && (typeof id !== "number" || id < 0 || id >= tokens.length)) {
      return `its tokenizer.ggml.${name}_token_id is ${JSON.stringify(id)}; the vocabulary has ${tokens.length} tokens`;
    }
  }
  return undefined;
}

function checkEmbedding(header: GgufHeader, key: Key): string | undefined {
  const embedding = header.tensors.get("token_embd.weight");
  // Sharded files keep tensors in later shards; the loader looks there.
  if (embedding === undefined)
    return isShard(header) ? undefined : "it has no token embedding (token_embd.weight)";
  const [width, rows] = embedding.shape;
  if (width !== key("embedding_length"))
    return `its token embedding has ${width} columns, not embedding_length`;
  const tokens = arrayOf(header, "tokenizer.ggml.tokens")?.length;
  return rows === tokens ? undefined : `it has ${tokens} tokens but ${rows} embeddings`;
}

function checkDeepseek2(header: GgufHeader, key: Key): string | undefined {
  const number = (name: string): number => {
    const value = key(name);
    return typeof value === "number" ? value : 0;
  };
  for (const name of ["feed_forward_length", "attention.head_count", "rope.dimension_count"]) {
    if (number(name) < 1) return `it lacks deepseek2.${name}`;
  }
  const experts = number("expert_count");
  const used = number("expert_used_count");
  if (number("leading_dense_block_count") < number("block_count")) {
    if (experts < 1 || experts > EXPERTS_MAX) return "it lacks a sensible deepseek2.expert_count";
    if (used < 1 || used > experts)
      return `it uses ${used} of ${experts} experts (deepseek2.expert_used_count)`;
  }
  const groups = number("expert_group_count");
  if (groups > 1) {
    const groupsUsed = number("expert_group_used_count");
    if (groupsUsed < 1 || groupsUsed > groups)
      return `it uses ${groupsUsed} of ${groups} expert groups (deepseek2.expert_group_used_count)`;
    if (experts % groups !== 0) return `its ${experts} experts do not divide into ${groups} groups`;
  }
  return key("attention.key_length_mla") === undefined ? undefined : checkLatentAttention(header, number);
}

/** Multi-head latent attention keeps one latent key per token, so its cache has one head of a derived width. */
function checkLatentAttention(header: GgufHeader, number: (name: string) => number): string | undefined {
  const latent = number("attention.kv_lora_rank");
  const rope = number("rope.dimension_count");
  if (number("attention.head_count_kv") !== 1)
    return "its deepseek2.attention.head_count_kv is not 1, which latent attention needs";
  if (number("attention.key_length") !== latent + rope) {
    return `its deepseek2.attention.key_length is not kv_lora_rank + rope.dimension_count = ${latent + rope}`;
  }
  if (number("attention.value_length") !== latent)
    return `its deepseek2.attention.value_length is not kv_lora_rank = ${latent}`;
  if (number("attention.key_length_mla") <= rope)
    return "its deepseek2.attention.key_length_mla leaves no room beside rope.dimension_count";
  const projection = header.tensors.get("blk.0.attn_kv_a_mqa.weight");
  if (projection !== undefined && projection.shape[1] !== latent + rope) {
    return `its latent projection has ${projection.shape[1]} rows, not kv_lora_rank + rope.dimension_count = ${latent + rope}`;
  }
  const heads = header.tensors.get("blk.0.attn_k_b.weight");
  if (heads !== undefined && heads.shape[2] !== number("attention.head_count")) {
    return `its tensors have ${heads.shape[2]} heads, not deepseek2.attention.head_count`;
  }
  return undefined;
}

function within(metadata: Metadata, key: string, max: number): string | undefined {
  const value = metadata.get(key);
  if (value === undefined) return `it lacks ${key}`;
  if (typeof value !== "number" || value < 1 || value > max || !Number.isInteger(value)) {
    return `its ${key} is ${JSON.stringify(value)}; 1 to ${max} is possible`;
  }
  return undefined;
}

function arrayOf(header: GgufHeader, key: string): GgufArray | undefined {
  const value = header.metadata.get(key);
  return typeof value === "object" ? value : undefined;
}

function isShard(header: GgufHeader): boolean {
  const count = header.metadata.get("split.count");
  return typeof count === "number" && count > 1;
}
