/**
 * What token ids spell, for both engines: the bytes of the thinking and of the answer, each put together before it is
 * decoded. Deliberately not the node's own reducer: that is what is judged.
 */
import { readVocabulary } from "../../gpu-node/src/engines/llama/vocabulary.ts";
import { decodeToken, MARK } from "../../gpu-node/src/engines/script/tokenizer.ts";
import { readGgufFile } from "../../gpu-node/src/weights/gguf-header.ts";

export type Spell = (ids: readonly number[]) => { readonly reasoning: string; readonly content: string };

const NO_BYTES = new Uint8Array();

/** An answer that thinks begins in its thinking, and goes on after the mark that closes it. */
function spelling(bytesOf: (id: number) => Uint8Array | undefined, close: number | undefined): Spell {
  const text = (ids: readonly number[]): string =>
    Buffer.concat(ids.map((id) => bytesOf(id) ?? NO_BYTES)).toString("utf8");
  return (ids) => {
    const end = close === undefined ? -1 : ids.indexOf(close);
    return { reasoning: text(ids.slice(0, Math.max(0, end))), content: text(ids.slice(end + 1)) };
  };
}

export function scriptSpelling(): Spell {
  return spelling((id) => decodeToken(id).bytes, MARK.thinkClose);
}

export function ggufSpelling(file: string): Spell {
  const vocabulary = readVocabulary(readGgufFile(file));
  return spelling((id) => vocabulary.bytesOf(id), vocabulary.think?.close);
}
