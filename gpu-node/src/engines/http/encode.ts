/**
 * From segments to tokens by the server's tokenizer: what is special is decided here, piece by piece, as for the
 * embedded engine. What the template writes is the same in every prompt and asked once; what people write is asked in
 * short pieces, several at a time.
 */
import { encodeSegments, type Encoder } from "../llama/encode.ts";
import { type Segment, cutContent, spellingsPattern } from "../llama/segments.ts";
import type { Peer } from "./peer.ts";
import type { Server } from "./server.ts";
import type { Words } from "./words.ts";

export type AskTokens = (text: string, special: boolean) => Promise<readonly number[]>;

const AT_ONCE = 8;
const TEMPLATE_PIECES_MAX = 256;

export class RemoteEncoder {
  readonly #ask: AskTokens;
  readonly #encoder: Omit<Encoder, "tokenize">;
  readonly #template = new Map<string, readonly number[]>();

  constructor(ask: AskTokens, encoder: Omit<Encoder, "tokenize">) {
    this.#ask = ask;
    this.#encoder = encoder;
  }

  async encode(segments: readonly Segment[], tokensMax = Number.POSITIVE_INFINITY): Promise<number[]> {
    const content = new Map<string, readonly number[]>();
    const pieces = segments
      .filter(({ kind }) => kind === "content")
      .flatMap(({ text }) => cutContent(text, this.#encoder.spellings));
    const missing = new Set(pieces.filter((piece) => piece !== ""));
    let counted = 0;
    await atOnce([...missing], async (piece) => {
      // The pieces are asked in order: once there are too many, the rest may count as nothing.
      if (counted > tokensMax) return;
      const tokens = await this.#ask(piece, false);
      counted += tokens.length;
      content.set(piece, tokens);
    });
    await atOnce(
      [...new Set(segments.filter(({ kind }) => kind === "template").map(({ text }) => text))],
      (text) => this.#learn(text),
    );
    return encodeSegments(
      segments,
      {
        ...this.#encoder,
        tokenize: (text, special) => (special ? this.#template.get(text) : content.get(text)) ?? [],
      },
      tokensMax,
    );
  }

  async #learn(text: string): Promise<void> {
    if (text === "" || this.#template.has(text)) return;
    // A Jinja template may write something new each time, a date for one.
    if (this.#template.size >= TEMPLATE_PIECES_MAX) this.#template.clear();
    this.#template.set(text, await this.#ask(text, true));
  }
}

/** By the server's tokenizer, as it is spoken to; throws what the peer makes of its failures. */
export function encoderOf<Known extends { readonly model: string }>(
  { vocabulary: { special, spellings, addBos, bos } }: Words,
  server: Pick<Server, "tokenize" | "tokensIn">,
  peer: Peer<Known>,
): RemoteEncoder {
  const ask: AskTokens = async (text, isSpecial) => {
    const { wire, model } = peer;
    try {
      const { path, body } = server.tokenize(model, text, isSpecial);
      return server.tokensIn(await wire.post(path, body));
    } catch (error) {
      throw peer.explain(error);
    }
  };
  return new RemoteEncoder(ask, {
    special,
    spellings: spellingsPattern(spellings.keys()),
    bos: addBos ? bos : undefined,
  });
}

async function atOnce<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, left.length) }, worker));
}
