/**
 * From what is known of the fleet to the order in which nodes are asked. Where every node that fits is full by its last
 * word, the request waits for room; and where none does, but a region has just woken and awaits its nodes' beats, for those. But
 * not so long that a refusal would come after the status, which is fixed a second after the call's arrival. After the wait nodes
 * that were full are asked all the same: a node knows better than its beat, and its refusal says when to come again.
 */
import type { ServedModel } from "@sluice/protocol/beat";
import { isolationNames, type IsolationNames } from "../core/secrets.ts";
import type { LiveNode } from "../core/node.ts";
import { liveNodes, type FleetView, type Looking } from "../nodes/snapshot.ts";
import { choose, fits, type Choice, type Wish } from "../routing/choose.ts";
import { isolate } from "../routing/isolate.ts";
import { wishedOf, type Need } from "../wire/needs.ts";
import type { Leg } from "./leg.ts";
import type { Overflowing } from "./overflow.ts";
import type { Job, Travel } from "./travel.ts";
import { wishUnder } from "./wish.ts";

/** Of the second until the status, the part that may be spent waiting for room. */
export const ROOM_WAIT_MS = 900;
/** In the middle of an answer, where the alternative is that it ends there. */
export const ROOM_WAIT_AMID_MS = 10_000;
/** Beats come once a second; some node's next one is never far. */
const ROOM_POLL_MS = 150;
/** The first beat after a region's object woke is worth more. */
const WAKING_POLL_MS = 50;

export type Ranked = {
  readonly choices: readonly Choice[];
  readonly names: IsolationNames;
  /** What none of the nodes can do that would otherwise have been asked. */
  readonly lacking: Need | undefined;
};

/** `regions`: where nodes may be; `pinned`: the same where the account, the key or the request says so, else null. */
export async function rank(
  travel: Travel,
  { who, call, wanted, trail, arrivedAtMs }: Job,
  leg: Leg,
  where: {
    readonly regions: readonly string[];
    readonly pinned: readonly string[] | null;
    /** Nobody waits for a node's room who may go to an upstream. */
    readonly overflowing: Overflowing;
  },
): Promise<Ranked> {
  const needs = {
    model: wanted.model.id,
    promptTokens: leg.promptCeiling,
    regions: where.pinned,
    weights: leg.weights,
    ...wishedOf(call.needs),
  };
  const untilMs = leg.after === undefined ? arrivedAtMs + ROOM_WAIT_MS : Date.now() + ROOM_WAIT_AMID_MS;
  const looking: Looking = {
    enough: (nodes) => nodes.some((node) => fits(needs, node)),
    afterFailure: leg.after !== undefined,
    firstWaitMs: untilMs - Date.now(),
  };
  const fleet = (): Promise<FleetView> => liveNodes(travel.env, where.regions, Date.now(), looking);
  const [first, names] = await Promise.all([
    fleet(),
    isolationNames(travel.secrets, who.account, call.userId),
  ]);
  const wish = wishUnder(names.tag, trail, needs);
  const order = ({ nodes }: FleetView): readonly Choice[] =>
    choose(wish, nodes, isolate.knowledge(Date.now()), Math.random);
  let view = first;
  let choices = order(view);
  for (;;) {
    const pollMs = pauseBefore(choices, view);
    if (pollMs === undefined || where.overflowing?.() !== undefined) break;
    // In the middle of an answer a node that is full is asked at once: the walk waits for it.
    const endMs = choices.length === 0 ? untilMs : arrivedAtMs + ROOM_WAIT_MS;
    const leftMs = endMs - Date.now();
    if (leftMs <= 0 || travel.client.signal.aborted) break;
    await scheduler.wait(Math.min(pollMs, leftMs));
    view = await fleet();
    choices = order(view);
  }
  return {
    choices,
    names,
    lacking: choices.length === 0 ? lackOf(call.needs, wish, view.nodes) : undefined,
  };
}

/** How soon to look again for what is missing; undefined where there is somebody to ask, or nobody to wait for. */
function pauseBefore(choices: readonly Choice[], { isWaking }: FleetView): number | undefined {
  if (choices.length === 0) return isWaking ? WAKING_POLL_MS : undefined;
  return choices.every((choice) => !choice.room) ? ROOM_POLL_MS : undefined;
}

/** Where every node that fits lacks the same thing, the client has to know; where none fits, it is not its fault. */
function lackOf(needs: readonly Need[], wish: Wish, nodes: readonly LiveNode[]): Need | undefined {
  const others = choose(
    { ...wish, features: [], common: [] },
    nodes,
    isolate.knowledge(Date.now()),
    Math.random,
  );
  if (others.length === 0) return undefined;
  return needs.find((need) =>
    others.every(({ node }) => node.models.every((model) => model.id !== wish.model || !meets(model, need))),
  );
}

function meets({ features, lacks }: ServedModel, { feature, common }: Need): boolean {
  return common === true ? lacks?.includes(feature) !== true : features.includes(feature);
}
