/**
 * What a GGUF says about its tokens: the bytes each adds to the text, which of them are special, where thinking begins
 * and ends. Read from the file by both processes, so the parent can turn ids into bytes without asking the child.
 *
 * Special means: no text of a user may ever become it. That is more than the CONTROL type: USER_DEFINED tokens such
 * as `<think>` are found by llama.cpp in plain text too. Runs of blanks and single characters of that type (Gemma has
 * them) are ordinary text and stay so.
 */
import type { GgufHeader } from "../../weights/gguf-header.ts";
import { bytesOfSpelling } from "./byte-alphabet.ts";

const TYPE_UNKNOWN = 2;
const TYPE_CONTROL = 3;
const TYPE_USER_DEFINED = 4;
const TYPE_BYTE = 6;
const SENTENCEPIECE_SPACE = "\u2581";
const NO_BYTES = new Uint8Array();

export type Vocabulary = {
  readonly size: number;
  readonly special: ReadonlySet<number>;
  /** The spelling of a special token -> its id. */
  readonly spellings: ReadonlyMap<string, number>;
  readonly think: { readonly open: number; readonly close: number } | undefined;
  readonly bos: number | undefined;
  readonly bosText: string;
  readonly eosText: string;
  readonly addBos: boolean;
  readonly template: string | undefined;
  /** Byte-level vocabularies alone can be cut anywhere without an invented leading space. */
  readonly byteLevel: boolean;
  /** Undefined where the file does not tell (neither byte-level BPE nor SentencePiece): ask the tokenizer. */
  bytesOf(id: number): Uint8Array | undefined;
};

export function vocabularySize(header: GgufHeader): number {
  return strings(header, "tokenizer.ggml.tokens").length;
}

/** `alsoSpecial`: ids the engine found to be control tokens although the file says otherwise. */
export function readVocabulary(header: GgufHeader, alsoSpecial: Iterable<number> = []): Vocabulary {
  const tokens = strings(header, "tokenizer.ggml.tokens");
  const types = numbers(header, "tokenizer.ggml.token_type");
  const model = header.metadata.get("tokenizer.ggml.model");
  const special = new Set(alsoSpecial);
  for (const [id, text] of tokens.entries()) if (isSpecial(types[id], text)) special.add(id);
  const spellings = new Map<string, number>();
  for (const id of special) {
    const text = tokens[id];
    if (text !== undefined && text !== "") spellings.set(text, id);
  }
  const open = spellings.get("<think>");
  const close = spellings.get("</think>");
  const bos = idOf(header, "bos");
  const eos = idOf(header, "eos");
  const template = header.metadata.get("tokenizer.chat_template");
  const cached: (Uint8Array | undefined)[] = [];
  return {
    size: tokens.length,
    special,
    spellings,
    think: open === undefined || close === undefined ? undefined : { open, close },
    bos,
    bosText: bos === undefined ? "" : (tokens[bos] ?? ""),
    eosText: eos === undefined ? "" : (tokens[eos] ?? ""),
    addBos: header.metadata.get("tokenizer.ggml.add_bos_token") !== false && bos !== undefined,
    template: typeof template === "string" ? template : undefined,
    byteLevel: model === "gpt2",
    bytesOf: (id) => {
      const text = tokens[id];
      if (text === undefined || special.has(id)) return NO_BYTES;
      if (model !== "gpt2" && model !== "llama") return undefined;
      return (cached[id] ??=
        model === "gpt2" ? bpeBytes(types[id], text) : sentencePieceBytes(types[id], text));
    },
  };
}

function isSpecial(type: number | undefined, text: string): boolean {
  if (type === TYPE_CONTROL || type === TYPE_UNKNOWN) return true;
  return (
    type === TYPE_USER_DEFINED &&
    Array.from(text).length > 1 &&
    text.replaceAll(SENTENCEPIECE_SPACE, " ").trim() !== ""
  );
}

function bpeBytes(type: number | undefined, text: string): Uint8Array {
  return type === TYPE_USER_DEFINED ? Buffer.from(text, "utf8") : bytesOfSpelling(text);
}

function sentencePieceBytes(type: number | undefined, text: string): Uint8Array {
  const hex = type === TYPE_BYTE ? /^<0x([0-9A-F]{2})>$/i.exec(text)?.[1] : undefined;
  if (hex !== undefined) return Uint8Array.of(Number.parseInt(hex, 16));
  return Buffer.from(text.replaceAll(SENTENCEPIECE_SPACE, " "), "utf8");
}

function idOf(header: GgufHeader, name: string): number | undefined {
  const id = header.metadata.get(`tokenizer.ggml.${name}_token_id`);
  return typeof id === "number" ? id : undefined;
}

function strings(header: GgufHeader, key: string): readonly string[] {
  const value = header.metadata.get(key);
  return typeof value === "object" ? (value.items ?? []).map(String) : [];
}

function numbers(header: GgufHeader, key: string): readonly number[] {
  const value = header.metadata.get(key);
  return typeof value === "object" ? (value.items ?? []).map(Number) : [];
}
