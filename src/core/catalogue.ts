/**
 * The catalogue as the request path reads it: models, aliases, prices and upstreams. D1 owns it; this is a snapshot.
 */
import type { PriceRow } from "@sluice/protocol/ticket";
import type { Upstream } from "./upstream.ts";

export type Model = {
  readonly id: string;
  readonly contextTokens: number;
  /** The output ceiling where a client gives none. */
  readonly outputTokensDefault: number;
  readonly ownedBy: string;
  readonly createdS: number;
  /** What the model thinks by default under its own id. */
  readonly thinkingDefault: boolean;
  readonly price: PriceRow;
};

export type Alias = {
  readonly alias: string;
  readonly model: string;
  readonly thinkingDefault: boolean;
};

export type Catalogue = {
  readonly models: readonly Model[];
  readonly aliases: readonly Alias[];
  /** Every region that has, or had, a node. */
  readonly regions: readonly string[];
  /** Those, and the regions of upstreams. */
  readonly places: readonly string[];
  /** Those that take calls. */
  readonly upstreams: readonly Upstream[];
  readonly builtAtMs: number;
};

export type Resolved = { readonly model: Model; readonly thinkingDefault: boolean };

/** The model behind an id or an alias; undefined where there is none. */
export function resolveModel(catalogue: Catalogue, name: string): Resolved | undefined {
  const alias = catalogue.aliases.find((known) => known.alias === name);
  const model = catalogue.models.find((known) => known.id === (alias?.model ?? name));
  if (model === undefined) return undefined;
  return { model, thinkingDefault: alias?.thinkingDefault ?? model.thinkingDefault };
}
