/**
 * From segments to tokens. Template text may become special tokens, content never does: it is cut so that it cannot,
 * and what comes back is checked all the same. Tokenising blocks the thread that also feeds the decoder, so long texts
 * are tokenised in short pieces with a breath in between.
 */
import { EngineFault } from "../engine.ts";
import { type Segment, cutContent } from "./segments.ts";

/** About 2 ms of tokenising between two breaths. */
const BREATH_CHARS = 4_096;

export type Tokenize = (text: string, special: boolean) => ArrayLike<number>;

export type Encoder = {
  readonly tokenize: Tokenize;
  readonly special: ReadonlySet<number>;
  readonly spellings: RegExp | undefined;
  /** Put before a prompt whose template forgot it. */
  readonly bos: number | undefined;
};

/** Ends where there are more than `tokensMax`: how many more, nobody needs to know of a prompt that does not fit. */
export async function encodeSegments(
  segments: readonly Segment[],
  encoder: Encoder,
  tokensMax = Number.POSITIVE_INFINITY,
): Promise<number[]> {
  const tokens: number[] = [];
  let sinceBreath = 0;
  for (const segment of segments) {
    const isContent = segment.kind === "content";
    const pieces = isContent ? cutContent(segment.text, encoder.spellings) : [segment.text];
    for (const piece of pieces) {
      for (const id of Array.from(encoder.tokenize(piece, !isContent))) {
        if (isContent && encoder.special.has(id)) {
          throw new EngineFault(
            "unsupported",
            "A message contains text that this model's tokenizer cannot tell from its own marks.",
          );
        }
        tokens.push(id);
      }
      if (tokens.length > tokensMax) return tokens;
      sinceBreath += piece.length;
      if (sinceBreath >= BREATH_CHARS) {
        sinceBreath = 0;
        await new Promise<void>((resolve) => {
          setImmediate(resolve);
        });
      }
    }
  }
  if (encoder.bos !== undefined && tokens[0] !== encoder.bos) tokens.unshift(encoder.bos);
  return tokens;
}
