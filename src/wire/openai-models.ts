/**
 * The catalogue as OpenAI's clients list it: `{object: "list", data: [{id, object, created, owned_by}]}`, and with what
 * each model costs. Aliases are models to a client, and are listed like them.
 */
import { resolveModel, type Catalogue } from "../core/catalogue.ts";

type PrintedModel = {
  readonly id: string;
  readonly object: "model";
  readonly created: number;
  readonly owned_by: string;
  /** Prompt and answer together. */
  readonly context_length: number;
  /** US dollars per million tokens. */
  readonly pricing: { readonly input: number; readonly cached_input: number; readonly output: number };
  /** What some node that serves it can do beyond plain answers; absent while none is known. */
  readonly features?: readonly string[];
};

/** By model id. */
export type Features = ReadonlyMap<string, readonly string[]>;

const MICRO_PER_USD = 1_000_000;

/** One model or alias; undefined where there is none. */
export function printModel(catalogue: Catalogue, name: string, features: Features): PrintedModel | undefined {
  const model = resolveModel(catalogue, name)?.model;
  if (model === undefined) return undefined;
  const can = features.get(model.id);
  return {
    id: name,
    object: "model",
    created: model.createdS,
    owned_by: model.ownedBy,
    context_length: model.contextTokens,
    pricing: {
      input: model.price.inputMicroUsdPerM / MICRO_PER_USD,
      cached_input: model.price.cachedMicroUsdPerM / MICRO_PER_USD,
      output: model.price.outputMicroUsdPerM / MICRO_PER_USD,
    },
    ...(can === undefined ? {} : { features: can }),
  };
}

/** What can be asked of each model: whatever one of these nodes can do. */
export function featuresOf(
  nodes: readonly {
    readonly models: readonly { readonly id: string; readonly features: readonly string[] }[];
  }[],
): Features {
  const found = new Map<string, Set<string>>();
  for (const { id, features } of nodes.flatMap(({ models }) => models)) {
    const known = found.get(id) ?? new Set();
    for (const feature of features) known.add(feature);
    found.set(id, known);
  }
  return new Map([...found].map(([id, features]) => [id, [...features].sort()]));
}

export function printModels(
  catalogue: Catalogue,
  features: Features,
): {
  readonly object: "list";
  readonly data: readonly PrintedModel[];
} {
  const names = [
    ...catalogue.models.map((model) => model.id),
    ...catalogue.aliases.map((alias) => alias.alias),
  ];
  return { object: "list", data: names.flatMap((name) => printModel(catalogue, name, features) ?? []) };
}
