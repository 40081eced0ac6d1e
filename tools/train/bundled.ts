/**
 * Where the bundled model and its tokenizer lie, relative to this file, and its id.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { tokenizerFromFile, type Tokenizer, type TokenizerFile } from "./tokenizer/tokenizer.ts";

export const MODEL_ID = "sluice-tiny";
export const MODEL_PATH = join(import.meta.dirname, "../../gpu-node/models", `${MODEL_ID}.gguf`);
const TOKENIZER_PATH = join(import.meta.dirname, "tokenizer.json");

export const readTokenizer = (): Tokenizer =>
  tokenizerFromFile(JSON.parse(readFileSync(TOKENIZER_PATH, "utf8")) as TokenizerFile);
