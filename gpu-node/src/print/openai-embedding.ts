/** Embeddings as OpenAI prints them: a list of vectors as numbers, or as base64 of little-endian 32-bit floats. Pure. */

export type EmbeddingFace = {
  readonly model: string;
  readonly encoding: "float" | "base64";
};

/** Room for an answer's end, beside its vectors. */
const FRAME_BYTES = 256;
/** Of a number as text: sign, up to nine digits, point, exponent, comma. */
const FLOAT_CHARS_MAX = 16;

/** The most bytes one vector of an answer takes. */
export function vectorBytesMax(encoding: EmbeddingFace["encoding"], dimensions: number): number {
  const numbers = encoding === "base64" ? Math.ceil((dimensions * 4 * 4) / 3) : dimensions * FLOAT_CHARS_MAX;
  return numbers + FRAME_BYTES;
}

export function printVector(
  encoding: EmbeddingFace["encoding"],
  vector: Float32Array,
  index: number,
): string {
  const { buffer, byteOffset, byteLength } = vector;
  const embedding =
    encoding === "base64"
      ? JSON.stringify(Buffer.from(buffer, byteOffset, byteLength).toString("base64"))
      : `[${[...vector].map((number) => Number(number.toPrecision(9))).join(",")}]`;
  return `{"object":"embedding","index":${index},"embedding":${embedding}}`;
}

export function printEmbeddings(
  face: EmbeddingFace,
  vectors: readonly string[],
  promptTokens: number,
): string {
  const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
  return `{"object":"list","data":[${vectors.join(",")}],"model":${JSON.stringify(face.model)},"usage":${JSON.stringify(usage)}}`;
}
