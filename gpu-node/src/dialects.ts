/** The dialects a node speaks: where each lives, how its bodies are read and its answers printed. The one list of them. */
import { DIALECT_PATHS, type Dialect } from "@sluice/protocol/call";
import { parseChat, type Parsed } from "./intake/chat-body.ts";
import { parseCompletion } from "./intake/completion-body.ts";
import { parseEmbedding, type ParsedEmbedding } from "./intake/embedding-body.ts";
import type { Print } from "./print/face.ts";
import { openAiChat } from "./print/openai-chat.ts";
import { openAiCompletion } from "./print/openai-completion.ts";

/** Answers, token by token. */
export type SpokenAnswer = {
  readonly makes: "answer";
  readonly path: string;
  readonly parse: (body: Uint8Array) => Parsed;
  readonly print: Print;
  /** What ids of answers begin with. */
  readonly idPrefix: string;
};

export type SpokenEmbedding = {
  readonly makes: "embeddings";
  readonly path: string;
  readonly parse: (body: Uint8Array) => ParsedEmbedding;
};

export type Spoken = SpokenAnswer | SpokenEmbedding;

export const DIALECTS = {
  "openai.chat": {
    makes: "answer",
    path: DIALECT_PATHS["openai.chat"],
    parse: parseChat,
    print: openAiChat,
    idPrefix: "chatcmpl-",
  },
  "openai.completion": {
    makes: "answer",
    path: DIALECT_PATHS["openai.completion"],
    parse: parseCompletion,
    print: openAiCompletion,
    idPrefix: "cmpl-",
  },
  "openai.embedding": {
    makes: "embeddings",
    path: DIALECT_PATHS["openai.embedding"],
    parse: parseEmbedding,
  },
} as const satisfies { readonly [D in Dialect]: Spoken };
