/**
 * A request's upstreams: none, for accounts that have not allowed any, for answers that have begun, and for what upstreams cannot
 * be asked. The body is read a second time only where nothing else speaks against them, and at most once.
 */
import type { LiveNode } from "../core/node.ts";
import type { Place } from "../core/place.ts";
import type { Upstream } from "../core/upstream.ts";
import { isLate } from "../dispatch/order.ts";
import type { Choice } from "../routing/choose.ts";
import { offersFor, withUpstreams, type Offer } from "../routing/overflow.ts";
import { isolate } from "../routing/isolate.ts";
import { readAsk, type UpstreamAsk } from "../upstream/ask.ts";
import { wishedOf } from "../wire/needs.ts";
import type { Leg } from "./leg.ts";
import type { Admitted } from "./recall.ts";
import type { Job, Travel } from "./travel.ts";

export type Overflow = {
  readonly ask: UpstreamAsk;
  readonly offers: readonly Offer[];
};

/** Asks no one and reads nothing until it is called. Undefined: there is nowhere to overflow to. */
export type Overflowing = (() => Overflow | undefined) | undefined;

export function overflowing(
  travel: Travel,
  { call, wanted }: Job,
  {
    admitted,
    leg,
    upstreams,
  }: { readonly admitted: Admitted; readonly leg: Leg; readonly upstreams: readonly Upstream[] },
): Overflowing {
  const { upstreams: allowed = "none" } = admitted;
  // What an upstream would go on from is token ids, which mean nothing there.
  if (allowed === "none" || upstreams.length === 0 || leg.seen.to > 0 || call.dialect !== "openai.chat")
    return undefined;
  let known: Overflow | undefined | "unread" = "unread";
  return () => {
    if (known !== "unread") return known;
    const ask = readAsk(call.body, wanted.thinkingDefault);
    if (ask === undefined) return (known = undefined);
    const knowledge = isolate.knowledge(Date.now());
    const wish = {
      allowed,
      model: wanted.model.id,
      thinks: ask.thinks,
      promptTokens: ask.promptTokens,
      promptCeiling: leg.promptCeiling,
      regions: admitted.regions,
      features: [...wishedOf(call.needs).features, ...ask.features],
    };
    const offers = offersFor(
      wish,
      upstreams.filter(({ id }) => !travel.failed.has(id)),
      {
        running: (id) => knowledge.own({ id, beatAtMs: 0 }, id).running,
        isBehind: (id) => knowledge.behindUntilMs(id, id) !== undefined,
      },
    );
    return (known = offers.length === 0 ? undefined : { ask, offers });
  };
}

/** The nodes in their order, and upstreams, where there can be any, behind the last that is well. */
export function withOverflow(
  order: readonly LiveNode[],
  choices: readonly Choice[],
  model: string,
  overflow: Overflowing,
): Iterable<Place> {
  if (overflow === undefined) return order;
  const nowMs = Date.now();
  const knowledge = isolate.knowledge(nowMs);
  const full = new Set(choices.flatMap(({ node, room }) => (room ? [] : node.id)));
  const isWell = (node: LiveNode): boolean =>
    !full.has(node.id) &&
    !isLate(node, nowMs) &&
    node.proofs?.[model]?.failing === undefined &&
    knowledge.behindUntilMs(node.id, model) === undefined;
  return withUpstreams(order, isWell, () => overflow()?.offers.map(({ upstream }) => upstream) ?? []);
}
