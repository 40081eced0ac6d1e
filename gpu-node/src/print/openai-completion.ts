/**
 * Answers as clients of OpenAI's older text completions read them. Pure. The log probabilities of that API are lists side by
 * side, and count offsets in characters of the text given back.
 */
import type { Piece, Weighed } from "../answer/gather.ts";
import { printUsage, tokenText, type Face, type FinishReason, type Print } from "./face.ts";

type Choice = {
  readonly text: string;
  readonly index: number;
  readonly logprobs: object | null;
  readonly finish_reason: FinishReason | null;
};

function printBody(face: Face, choices: readonly Choice[], usage: object): string {
  return JSON.stringify({
    id: face.id,
    object: "text_completion",
    created: face.createdS,
    model: face.model,
    system_fingerprint: face.fingerprint,
    choices,
    ...usage,
  });
}

function noUsage(face: Face): object {
  return face.includeUsage ? { usage: null } : {};
}

/** Offsets count from the beginning of this piece: of a stream's earlier pieces only their reader knows the length. */
function printLogprobs(face: Face, weighed: readonly Weighed[]): object | null {
  if (face.logprobs === undefined) return null;
  const count = face.logprobs;
  let offset = 0;
  return {
    tokens: weighed.map(({ bytes }) => tokenText(bytes)),
    token_logprobs: weighed.map(({ logprobs }) => logprobs.own),
    top_logprobs: weighed.map(({ logprobs }) =>
      Object.fromEntries(
        logprobs.top.slice(0, count).map(([token, logprob]) => [tokenText(token.bytes), logprob]),
      ),
    ),
    text_offset: weighed.map(({ bytes }) => {
      const at = offset;
      offset += tokenText(bytes).length;
      return at;
    }),
  };
}

function piece(face: Face, { choice, delta, weighed }: Piece): string {
  const logprobs = printLogprobs(face, weighed);
  return printBody(face, [{ text: delta.text, index: choice, logprobs, finish_reason: null }], noUsage(face));
}

export const openAiCompletion: Print = {
  opening: () => undefined,
  piece,
  finish: (face, { choice, reason, tail, weighed }) => {
    const logprobs = tail === undefined ? null : printLogprobs(face, weighed);
    const text = tail?.text ?? "";
    return printBody(face, [{ text, index: choice, logprobs, finish_reason: reason }], noUsage(face));
  },
  usage: (face, usage) => printBody(face, [], { usage: printUsage(usage) }),
  whole: (face, choices, usage) =>
    printBody(
      face,
      choices.map(({ content, weighed, reason }, index) => ({
        text: content,
        index,
        logprobs: printLogprobs(face, weighed.content),
        finish_reason: reason,
      })),
      { usage: printUsage(usage) },
    ),
};
