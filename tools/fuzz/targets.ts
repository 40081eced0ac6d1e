/**
 * What is fuzzed: everything that reads a client's body before a token is made, on the edge and on the node. Each target says
 * what became of a body; a throw that is no refusal is a crash, and a refusal that blames us is as bad.
 */
import { trailOf } from "@sluice/protocol/sketch";
import { REFUSAL_STATUS } from "@sluice/protocol/refusal";
import { planEmbedding } from "../../gpu-node/src/attempt/embedding.ts";
import { prepare, type Frame } from "../../gpu-node/src/attempt/prepare.ts";
import { DIALECTS } from "../../gpu-node/src/dialects.ts";
import type { Engine } from "../../gpu-node/src/engines/engine.ts";
import { createScriptEngine } from "../../gpu-node/src/engines/script/engine.ts";
import { FaultError } from "../../src/core/fault.ts";
import { readAsk } from "../../src/upstream/ask.ts";
import { canonicalChat } from "../../src/wire/openai-canonical.ts";
import { parseOpenAiChat } from "../../src/wire/openai-chat.ts";
import { parseOpenAiCompletion } from "../../src/wire/openai-completion.ts";
import { parseOpenAiEmbedding } from "../../src/wire/openai-embedding.ts";
import { openAiFault } from "../../src/wire/openai-fault.ts";

export type Dialect = keyof typeof DIALECTS;

/** "taken", or the kind of the refusal with its status. Throws where it crashes. */
export type Target = {
  readonly name: string;
  readonly read: (dialect: Dialect, body: Uint8Array) => Promise<string>;
};

const EDGE_PARSERS = {
  "openai.chat": parseOpenAiChat,
  "openai.completion": parseOpenAiCompletion,
  "openai.embedding": parseOpenAiEmbedding,
} as const;

function edge(dialect: Dialect, body: Uint8Array): string {
  try {
    const call = EDGE_PARSERS[dialect](body);
    trailOf({ model: "m", thinkingDefault: false, body: call.prompt });
    if (dialect === "openai.chat") {
      canonicalChat(body, { model: "m", thinkingDefault: false });
      readAsk(body, false);
    }
    return "taken";
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
    const { status } = openAiFault(error.fault);
    return `${status} ${error.fault.kind}`;
  }
}

/** As a node with every feature would prepare it. */
function withEveryFeature(engine: Engine): Engine {
  const info = {
    ...engine.info,
    features: [...engine.info.features, "json", "logit_bias", "penalties", "thinking_budget"],
  };
  return new Proxy(engine, {
    get: (target, name) => {
      if (name === "info") return info;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

export function targets(): readonly Target[] {
  const engine = withEveryFeature(createScriptEngine({ contextTokens: 4_096, embedding: { dimensions: 8 } }));
  const node = async (dialect: Dialect, body: Uint8Array): Promise<string> => {
    const spoken = DIALECTS[dialect];
    if (spoken.makes === "embeddings") return embedding(engine, body);
    const parsed = spoken.parse(body);
    if (!parsed.ok) return refused(parsed.refusal);
    const frame: Frame = {
      responseId: "chatcmpl-1",
      createdS: 0,
      modelAs: "m",
      thinkingDefault: false,
      tag: "t",
      lane: "l",
      promptCeiling: 2_048,
      outputCeiling: 64,
      stream: parsed.wish.stream,
      resume: undefined,
      notes: true,
      print: spoken.print,
    };
    const prepared = await prepare(engine, parsed.wish, frame);
    return prepared.ok ? "taken" : refused(prepared.refusal);
  };
  return [
    { name: "edge", read: (dialect, body) => Promise.resolve(edge(dialect, body)) },
    { name: "node", read: node },
  ];
}

async function embedding(engine: Engine, body: Uint8Array): Promise<string> {
  const parsed = DIALECTS["openai.embedding"].parse(body);
  if (!parsed.ok) return refused(parsed.refusal);
  const frame = { modelAs: "m", lane: "l", promptCeiling: 2_048, notes: true };
  const planned = await planEmbedding(engine, parsed.wish, frame);
  return planned.ok ? "taken" : refused(planned.refusal);
}

function refused(refusal: { readonly kind: keyof typeof REFUSAL_STATUS }): string {
  return `${REFUSAL_STATUS[refusal.kind]} ${refusal.kind}`;
}
