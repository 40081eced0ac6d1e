/**
 * A body of OpenAI's embeddings, parsed once: exactly the fields this node honours. Pure. An input is a text or a list of
 * token ids, and there may be several of either.
 */
import { z } from "zod";
import { invalidBody, parseJson, type Refused } from "./refuse.ts";

/** As many as OpenAI takes in one call. */
const INPUTS_MAX = 2_048;
const TOKEN_ID_MAX = 10_000_000;

const Ids = z.array(z.int().min(0).max(TOKEN_ID_MAX)).min(1);

const EmbeddingBody = z.object({
  model: z.string().min(1).max(128),
  input: z.union(
    [z.string(), Ids, z.array(z.string()).min(1).max(INPUTS_MAX), z.array(Ids).min(1).max(INPUTS_MAX)],
    { error: `a text, a list of token ids, or a list of at most ${INPUTS_MAX} of either` },
  ),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  dimensions: z.int().min(1).nullish(),
});

export type EmbeddingWish = {
  readonly model: string;
  readonly inputs: readonly (string | readonly number[])[];
  /** How the client wants numbers written. */
  readonly encoding: "float" | "base64";
  /** Undefined: as many as the model has. */
  readonly dimensions: number | undefined;
};

export type ParsedEmbedding = { readonly ok: true; readonly wish: EmbeddingWish } | Refused;

export function parseEmbedding(bytes: Uint8Array): ParsedEmbedding {
  const json = parseJson(bytes);
  if (!json.ok) return json;
  const parsed = EmbeddingBody.safeParse(json.value);
  if (!parsed.success) return invalidBody(parsed.error);
  const { model, input, encoding_format: encoding, dimensions } = parsed.data;
  return {
    ok: true,
    wish: {
      model,
      inputs: typeof input === "string" || isIds(input) ? [input] : input,
      encoding: encoding ?? "float",
      dimensions: dimensions ?? undefined,
    },
  };
}

function isIds(input: readonly unknown[]): input is readonly number[] {
  return typeof input[0] === "number";
}
