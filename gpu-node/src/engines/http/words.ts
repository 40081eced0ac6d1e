/**
 * The vocabulary of what the server serves, read from the same files it reads: a GGUF (llama-server), or a folder as
 * Hugging Face has them (vLLM, SGLang). The server could tell tokens' text, but not which of them are special, nor the
 * bytes of half a character.
 */
import { createHash } from "node:crypto";
import { open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { digestWeights } from "../../weights/digest.ts";
import { readGgufFile } from "../../weights/gguf-header.ts";
import { EngineFault, type Token } from "../engine.ts";
import { bytesOfSpelling } from "../llama/byte-alphabet.ts";
import { readVocabulary, type Vocabulary } from "../llama/vocabulary.ts";

export type Words = {
  readonly vocabulary: Vocabulary;
  readonly endTokens: readonly number[];
  /** Equal for equal weights, tokenizer and template. */
  readonly digest: string;
};

/** Marks that end a turn in the templates of open models; those a vocabulary has end an answer, as in llama.cpp. */
const TURN_ENDS = [
  "<|im_end|>",
  "<|eot_id|>",
  "<|end|>",
  "<end_of_turn>",
  "<|endoftext|>",
  "<\uff5cend\u2581of\u2581sentence\uff5c>",
];
const NO_BYTES = new Uint8Array();
/** Of each shard of the weights, read for the digest: hashing all of it would take a server's start in minutes. */
const SAMPLE_BYTES = 64 * 1024;

const Text = z.union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)]);
const Tokenizer = z.object({
  model: z.object({ type: z.string().nullish(), vocab: z.record(z.string(), z.int().min(0)) }),
  added_tokens: z
    .array(z.object({ id: z.int().min(0), content: z.string(), special: z.boolean() }))
    .default([]),
});
const TokenizerConfig = z.object({
  bos_token: Text.nullish(),
  eos_token: Text.nullish(),
  add_bos_token: z.boolean().nullish(),
  chat_template: z.unknown().optional(),
});
const GenerationConfig = z.object({
  eos_token_id: z.union([z.int(), z.array(z.int())]).nullish(),
});

/** What the ids of an answer stand for; those the vocabulary does not know stand for nothing. */
export function tokensOf({ vocabulary }: Words, ids: readonly number[]): readonly Token[] {
  return ids.map((id) => ({ id, bytes: vocabulary.bytesOf(id) ?? NO_BYTES }));
}

export async function readWords(path: string): Promise<Words> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw new EngineFault("bad_model", `${path}: there is no such file or folder.`);
  return found.isDirectory() ? readFolder(path) : readGguf(path);
}

async function readGguf(path: string): Promise<Words> {
  const header = readGgufFile(path);
  const vocabulary = readVocabulary(header);
  const ids = ["eos", "eot", "eom"].map((name) => header.metadata.get(`tokenizer.ggml.${name}_token_id`));
  return { vocabulary, endTokens: endsOf(vocabulary, ids), digest: await digestWeights(path) };
}

async function readFolder(folder: string): Promise<Words> {
  const json = async (name: string): Promise<unknown> => {
    const text = await readFile(join(folder, name), "utf8").catch(() => undefined);
    return text === undefined ? undefined : JSON.parse(text);
  };
  const tokenizer = Tokenizer.safeParse(await json("tokenizer.json"));
  if (!tokenizer.success || tokenizer.data.model.type === "Unigram")
    throw new EngineFault(
      "bad_model",
      `${folder}: there is no tokenizer.json of a byte-level BPE in it. Name the folder that the server loads.`,
    );
  const config = TokenizerConfig.parse((await json("tokenizer_config.json")) ?? {});
  const generation = GenerationConfig.parse((await json("generation_config.json")) ?? {});
  const template =
    (await readFile(join(folder, "chat_template.jinja"), "utf8").catch(() => undefined)) ??
    (typeof config.chat_template === "string" ? config.chat_template : undefined);
  const vocabulary = vocabularyOf(tokenizer.data, config, template);
  const ends = [generation.eos_token_id ?? []].flat();
  return { vocabulary, endTokens: endsOf(vocabulary, ends), digest: await digestFolder(folder) };
}

function vocabularyOf(
  { model, added_tokens: added }: z.infer<typeof Tokenizer>,
  config: z.infer<typeof TokenizerConfig>,
  template: string | undefined,
): Vocabulary {
  const texts: string[] = [];
  for (const [text, id] of Object.entries(model.vocab)) texts[id] = text;
  const special = new Set<number>();
  const plain = new Map<number, string>();
  for (const { id, content, special: isSpecial } of added) {
    texts[id] = content;
    // Added tokens are found in any text. Blanks among them are text, the others are marks of the template.
    if (isSpecial || content.trim() !== "") special.add(id);
    else plain.set(id, content);
  }
  const spellings = new Map<string, number>();
  for (const id of special) spellings.set(texts[id] ?? "", id);
  const open = spellings.get("<think>");
  const close = spellings.get("</think>");
  const bosText = config.bos_token ?? "";
  const bos = spellings.get(bosText);
  return {
    size: texts.length,
    special,
    spellings,
    think: open === undefined || close === undefined ? undefined : { open, close },
    bos,
    bosText,
    eosText: config.eos_token ?? "",
    addBos: bos !== undefined && config.add_bos_token === true,
    template,
    byteLevel: true,
    bytesOf: (id) => {
      const text = texts[id];
      if (text === undefined || special.has(id)) return NO_BYTES;
      const blanks = plain.get(id);
      return blanks === undefined ? bytesOfSpelling(text) : Buffer.from(blanks, "utf8");
    },
  };
}

function endsOf(vocabulary: Vocabulary, ids: readonly unknown[]): readonly number[] {
  const { spellings, eosText } = vocabulary;
  const named = [eosText, ...TURN_ENDS].flatMap((text) => spellings.get(text) ?? []);
  return [...new Set([...ids.filter((id): id is number => typeof id === "number"), ...named])];
}

/** Everything but the weights whole; of those the size and a sample at both ends. */
async function digestFolder(folder: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await readdir(folder)).sort()) {
    const path = join(folder, name);
    const { size } = await stat(path);
    if (/\.(safetensors|bin|pt|pth)$/.test(name)) {
      hash.update(`${name}\n${size}\n`).update(await sampleOf(path, size));
    } else if (/\.(json|jinja|model|txt)$/.test(name)) {
      hash.update(`${name}\n${size}\n`).update(await readFile(path));
    }
  }
  return hash.digest("hex");
}

async function sampleOf(path: string, size: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const bytes = Buffer.alloc(2 * SAMPLE_BYTES);
    await file.read(bytes, 0, SAMPLE_BYTES, 0);
    await file.read(bytes, SAMPLE_BYTES, SAMPLE_BYTES, Math.max(0, size - SAMPLE_BYTES));
    return bytes;
  } finally {
    await file.close();
  }
}
