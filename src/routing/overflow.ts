/**
 * Which upstreams a request may overflow to, and when: a pure function, beside choose.ts, of what its account allows, where it
 * may run, and what this isolate has seen of them.
 *
 * Nodes come first, always. An upstream is asked where no node is well: none is there, or each is full by a beat young enough to
 * be believed, late with its beat, or has failed calls here lately. Those nodes are asked after it. Among upstreams the cheapest
 * that is well comes first.
 */
import type { UpstreamsAllowed } from "@sluice/protocol/account";
import type { LiveNode } from "../core/node.ts";
import { outputTokensFitting, type DataPolicy, type Upstream, type UpstreamModel } from "../core/upstream.ts";
import { EXPECTED } from "./expect.ts";

export type OverflowWish = {
  readonly allowed: UpstreamsAllowed;
  readonly model: string;
  readonly thinks: boolean;
  readonly promptTokens: number;
  /** The most it can be. */
  readonly promptCeiling: number;
  /** Null: anywhere. */
  readonly regions: readonly string[] | null;
  readonly features: readonly string[];
};

export type Offer = { readonly upstream: Upstream; readonly served: UpstreamModel };

/** What this isolate knows of upstreams. */
export type Seen = {
  /** Its own calls there. */
  running(upstream: string): number;
  /** Calls have failed here lately. */
  isBehind(upstream: string): boolean;
};

/** In the order they are to be asked. */
export function offersFor(wish: OverflowWish, upstreams: readonly Upstream[], seen: Seen): readonly Offer[] {
  const offers = upstreams.flatMap((upstream): Offer[] => {
    const served = upstream.models.find(
      ({ model, thinks }) => model === wish.model && thinks === wish.thinks,
    );
    const fits =
      served !== undefined &&
      outputTokensFitting(served, wish.promptCeiling) > 0 &&
      isAllowed(wish.allowed, upstream.policy) &&
      isWithin(wish.regions, upstream) &&
      wish.features.every((feature) => upstream.features.some((known) => known === feature)) &&
      seen.running(upstream.id) < upstream.concurrency;
    return fits ? [{ upstream, served }] : [];
  });
  const ranked = offers.map((offer) => ({
    offer,
    behind: seen.isBehind(offer.upstream.id) ? 1 : 0,
    cost:
      wish.promptTokens * offer.served.inputMicroUsdPerM +
      EXPECTED.outputTokensTypical * offer.served.outputMicroUsdPerM,
    load: seen.running(offer.upstream.id) / offer.upstream.concurrency,
  }));
  ranked.sort(
    (a, b) =>
      a.behind - b.behind ||
      a.cost - b.cost ||
      a.load - b.load ||
      (a.offer.upstream.id < b.offer.upstream.id ? -1 : 1),
  );
  return ranked.map(({ offer }) => offer);
}

function isAllowed(allowed: UpstreamsAllowed, { trains, retainsDays }: DataPolicy): boolean {
  switch (allowed) {
    case "none":
      return false;
    case "no-retention":
      return !trains && retainsDays === 0;
    case "any":
      return true;
  }
}

/** A pin binds where prompts are kept, too. */
function isWithin(regions: readonly string[] | null, { region, policy }: Upstream): boolean {
  if (regions === null) return true;
  return regions.includes(region) && (policy.retainsDays === 0 || regions.includes(policy.keptIn));
}

/** The order of nodes, with upstreams behind the last one that is well. They are asked for when their turn has come, if it ever does. */
export function* withUpstreams<Place>(
  nodes: readonly LiveNode[],
  isWell: (node: LiveNode) => boolean,
  upstreams: () => readonly Place[],
): Generator<LiveNode | Place> {
  const others: LiveNode[] = [];
  for (const node of nodes)
    if (isWell(node)) yield node;
    else others.push(node);
  yield* upstreams();
  yield* others;
}
