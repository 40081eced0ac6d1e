/**
 * Which models a node serves and what each engine is told, out of flags or of a file that lists them. One entry of the
 * file is flags of its own over those of the command line. Pure: the file's text is an argument.
 */
import { z } from "zod";
import { Directive } from "./engines/script/directive.ts";

export const MODEL_FLAGS = {
  engine: { type: "string" },
  model: { type: "string", multiple: true },
  models: { type: "string" },
  as: { type: "string" },
  "script-options": { type: "string" },
  threads: { type: "string" },
  gpu: { type: "string" },
  server: { type: "string" },
  upstream: { type: "string" },
  "upstream-key": { type: "string" },
  "reuse-in-slots": { type: "boolean" },
  "prefixes-apart": { type: "boolean" },
  "tag-field": { type: "string" },
  offers: { type: "string" },
  extra: { type: "string" },
  "thinking-extra": { type: "string" },
  slots: { type: "string" },
  context: { type: "string" },
  embeddings: { type: "boolean" },
  "memory-unchecked": { type: "boolean" },
} as const;

/** Digits and nothing else: of a blank JavaScript would make 0. */
export const whole = (min: number, max: number): z.ZodType<number> =>
  z.preprocess(
    (given) => (typeof given === "string" && /^\d+$/.test(given) ? Number(given) : given),
    z.number().int().min(min).max(max),
  );

/** The id of the bundled model: what a node serves that was told nothing. */
const BUNDLED_MODEL = "sluice-tiny";
/** As many as a beat can name. */
const MODELS_MAX = 64;
/** Sequences of one llama.cpp context. */
const LLAMA_SLOTS_MAX = 256;

const Gpu = z.enum(["auto", "cuda", "vulkan", "metal", "cpu"]);
const Server = z.enum(["vllm", "sglang", "llama-server", "openai"]);
const Offers = z
  .string()
  .transform((text) => text.split(",").map((word) => word.trim()))
  .pipe(z.array(z.enum(["tools", "json"])).max(2));
/** Of a flag a text, in a file as it is. */
const Json = z.unknown().transform((given, context): unknown => {
  try {
    return typeof given === "string" ? JSON.parse(given) : given;
  } catch {
    context.addIssue({ code: "custom", message: "not JSON" });
    return z.NEVER;
  }
});
const Extra = Json.pipe(z.record(z.string().min(1).max(64), z.json())).optional();
const ModelId = z.string().min(1).max(128);

const ScriptOptions = z.strictObject({
  name: z.string().optional(),
  weights: z.string().optional(),
  restartMs: z.int().min(0).optional(),
  positionsFile: z.string().optional(),
  mayKillProcess: z.boolean().optional(),
  /** What holds where a prompt's directive is silent. */
  script: Directive.optional(),
});
export type ScriptOptions = z.infer<typeof ScriptOptions>;

const ScriptJson = Json.pipe(ScriptOptions);

/** What one engine can be told, whether for all models of a node or for one of them. */
const engineFields = {
  engine: z.enum(["llama", "http", "script"]).default("llama"),
  /** JSON for the script engine: see engines/script/engine.ts. */
  "script-options": ScriptJson.prefault("{}"),
  threads: whole(1, 1_024).optional(),
  gpu: Gpu.optional(),
  /** What the http engine stands in front of, and where that is. */
  server: Server.optional(),
  upstream: z.url({ protocol: /^https?$/ }).optional(),
  "upstream-key": z.string().min(1).max(1_024).optional(),
  "reuse-in-slots": z.boolean().default(false),
  "prefixes-apart": z.boolean().default(false),
  "tag-field": z
    .string()
    .regex(/^[a-z][a-z_]{0,63}$/, { error: "a field's name, as cache_salt" })
    .optional(),
  offers: Offers.default([]),
  /** Fields of a server that shows no tokens, as JSON: for calls that do not think, and for those that do. */
  extra: Extra,
  "thinking-extra": Extra,
  slots: whole(1, 1_024).optional(),
  context: whole(64, 10_000_000).optional(),
  /** Whether an embedded model makes embeddings, too. */
  embeddings: z.boolean().default(false),
  "memory-unchecked": z.boolean().default(false),
};

export const modelFields = {
  ...engineFields,
  /** GGUF files or references to them, each perhaps with an id (`id=reference`); undefined: the bundled model. */
  model: z.array(z.string().min(1)).min(1).max(MODELS_MAX).optional(),
  /** A file with a list of models instead. */
  models: z.string().min(1).optional(),
  /** The model's id, as calls name it; undefined: made from the file's name. */
  as: ModelId.optional(),
};
export type ModelWishes = z.infer<z.ZodObject<typeof modelFields>>;

const One = z.object({ ...engineFields, id: ModelId.optional(), model: z.string().min(1).optional() });
type One = z.infer<typeof One>;

const Listed = z.array(z.record(z.string(), z.unknown())).min(1).max(MODELS_MAX);

/** Which engine, and what it is told; where a model's file lies is found out later. */
export type EngineChoice = {
  readonly kind: "llama" | "http" | "script";
  readonly modelId: string;
  readonly model: string | undefined;
  readonly slots: number | undefined;
  readonly contextTokens: number | undefined;
  readonly threads: number | undefined;
  readonly gpu: z.infer<typeof Gpu> | undefined;
  readonly embeddings: boolean;
  /** The operator knows better than the figures whether it fits. */
  readonly memoryUnchecked: boolean;
  /** Of the http engine alone. */
  readonly upstream:
    | {
        readonly server: z.infer<typeof Server>;
        readonly url: URL;
        readonly key: string | undefined;
        readonly reuseInSlots: boolean;
        /** Of a server that shows no tokens: what the operator says it honours. */
        readonly offers: z.infer<typeof Offers>;
        /** Of such a server: the field by which it keeps prefixes apart. */
        readonly tagField: string | undefined;
        /** Of such a server: fields for calls that do not think, and for those that do. */
        readonly extra: z.infer<typeof Extra>;
        readonly thinkingExtra: z.infer<typeof Extra>;
      }
    | undefined;
  readonly script: ScriptOptions;
};

export type Chosen =
  | { readonly ok: true; readonly models: readonly EngineChoice[] }
  | { readonly ok: false; readonly message: string };

/**
 * `given` is what the schema made of the flags, `raw` what they were: an entry of the file is read over the latter.
 * `listed` is the text of the file that `--models` names.
 */
export function chooseModels(given: ModelWishes, raw: object, listed: string | undefined): Chosen {
  const ones = listed === undefined ? fromFlags(given) : fromFile(listed, raw);
  if (!ones.ok) return ones;
  const models: EngineChoice[] = [];
  for (const one of ones.ones) {
    const problem = problemWith(one);
    if (problem !== undefined) return no(listed === undefined ? problem : `--models: ${problem}`);
    const choice = choiceOf(one);
    if (models.some(({ modelId }) => modelId === choice.modelId))
      return no(`two models have the id "${choice.modelId}": give one of them another, as id=FILE`);
    models.push(choice);
  }
  return { ok: true, models };
}

type Ones =
  | { readonly ok: true; readonly ones: readonly One[] }
  | { readonly ok: false; readonly message: string };

function no(message: string): { readonly ok: false; readonly message: string } {
  return { ok: false, message };
}

function fromFlags(given: ModelWishes): Ones {
  const { model: wanted = [undefined], as, models: _file, ...common } = given;
  if (wanted.length > 1 && as !== undefined)
    return no("--as names one model: of several give each its id, as --model id=FILE");
  if (wanted.length > 1 && given.engine === "http")
    return no(
      "--engine http stands in front of one server, which serves one model: list several in --models",
    );
  return { ok: true, ones: wanted.map((text) => ({ ...common, ...named(text, as) })) };
}

/** `id=reference`, where what stands before the sign looks like an id and not like a path. */
function named(text: string | undefined, as: string | undefined): Pick<One, "id" | "model"> {
  const [, id, model] = /^([\w][\w.:-]{0,127})=(.+)$/.exec(text ?? "") ?? [];
  return as === undefined && id !== undefined ? { id, model } : { id: as, model: text };
}

function fromFile(text: string, raw: object): Ones {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return no("--models: the file is not JSON");
  }
  const listed = Listed.safeParse(json);
  if (!listed.success)
    return no(`--models: a list of 1 to ${MODELS_MAX} objects, each with the options of one model`);
  const { model: _model, models: _models, as: _as, ...common } = raw as Record<string, unknown>;
  const ones: One[] = [];
  for (const [at, entry] of listed.data.entries()) {
    const odd = Object.keys(entry).find((key) => !Object.hasOwn(One.shape, key));
    if (odd !== undefined) return no(`--models: entry ${at}: there is no option "${odd}" of a model`);
    const parsed = One.safeParse({ ...common, ...entry });
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      return no(`--models: entry ${at}: ${String(issue?.path[0] ?? "")}: ${issue?.message ?? "invalid"}`);
    }
    ones.push(parsed.data);
  }
  return { ok: true, ones };
}

function choiceOf(one: One): EngineChoice {
  return {
    kind: one.engine,
    modelId: one.id ?? modelIdOf(one.model),
    model: one.model,
    slots: one.slots,
    contextTokens: one.context,
    threads: one.threads,
    gpu: one.gpu,
    embeddings: one.embeddings,
    memoryUnchecked: one["memory-unchecked"],
    upstream: upstreamOf(one),
    script: one["script-options"],
  };
}

/** "hf:Qwen/Qwen3-8B-GGUF:Q4_K_M" and "models/Qwen3-8B.gguf" both make an id that people can type. */
function modelIdOf(model: string | undefined): string {
  if (model === undefined) return BUNDLED_MODEL;
  const last =
    model
      .replace(/^hf:/, "")
      .replace(/:[^:/]*$/, "")
      .split("/")
      .at(-1) ?? "";
  const id = last
    .replace(/[.-]gguf$/i, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, "-");
  return id === "" ? "model" : id;
}

function upstreamOf(one: One): EngineChoice["upstream"] {
  const { server, upstream } = one;
  if (one.engine !== "http" || server === undefined || upstream === undefined) return undefined;
  return {
    server,
    url: new URL(upstream),
    key: one["upstream-key"],
    reuseInSlots: one["reuse-in-slots"],
    offers: one.offers,
    tagField: one["tag-field"],
    extra: one.extra,
    thinkingExtra: one["thinking-extra"],
  };
}

function problemWith(one: One): string | undefined {
  const { server, upstream, model } = one;
  if (one.engine === "http") {
    if (server === undefined || upstream === undefined)
      return "--engine http stands in front of a server: give --server vllm, sglang, llama-server or openai, and --upstream URL";
    if (server === "openai")
      return one["prefixes-apart"] || one["tag-field"] !== undefined
        ? undefined
        : "--server openai: nothing keeps the prompts of different users apart in that server's cache. Give --tag-field where it has a field for that (vLLM: cache_salt), or say --prefixes-apart where it reuses none or serves one account alone";
    if (model === undefined || model.startsWith("hf:"))
      return "--engine http needs --model: the GGUF file, or the folder with tokenizer.json, that the server loads";
    return undefined;
  }
  if (server !== undefined || upstream !== undefined || one["upstream-key"] !== undefined)
    return "--server, --upstream and --upstream-key are for --engine http";
  if (one.engine === "llama" && (one.slots ?? 0) > LLAMA_SLOTS_MAX)
    return `--slots: llama.cpp runs at most ${LLAMA_SLOTS_MAX} requests at once; a server behind --engine http may run more`;
  return undefined;
}
