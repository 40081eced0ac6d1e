/**
 * What this isolate has seen for itself: its calls in flight, how they ended, how far away regions are. The one piece of
 * knowledge that is newer than any beat. Module memory on purpose: all of it is a hint for `choose`, correct per
 * isolate, and losing it with the isolate is right.
 */
import { charsHeld, readSketch, type Marks, type Sketch } from "@sluice/protocol/sketch";
import type { LiveNode } from "../core/node.ts";
import type { Knowledge } from "./choose.ts";
import { RTT_MS_UNMEASURED } from "./expect.ts";
import { after, behindUntilMs, called, ofModel, ofNode, WELL, type Health, type Outcome } from "./health.ts";

/** Nodes and regions remembered; beyond it memory starts anew. */
const NODES_MAX = 4_096;
const REGIONS_MAX = 256;
/** A way that is slower than the best known moves what is known of it by this part. */
const SLOWER_WEIGHT = 0.05;

type InFlight = { readonly model: string; readonly atMs: number; promptTokens: number };

/** A call to a node, from its sending to its end. */
export type Calling = {
  /** The node's answer has begun to arrive, the prompt not yet evaluated. */
  taken(nowMs: number): void;
  /** The prompt is evaluated. */
  began(nowMs: number): void;
  /** Once for the load, however often it is called; each outcome counts for the node's health. */
  ended(outcome: Outcome, nowMs: number): void;
};

export type Memory = {
  /** Counts one call; `promptTokens` are those the node has to evaluate for it. */
  readonly call: (
    node: { readonly id: string; readonly region: string },
    asked: { readonly model: string; readonly promptTokens: number },
    nowMs: number,
  ) => Calling;
  /** What `choose` may know at this moment. */
  readonly knowledge: (nowMs: number) => Knowledge;
};

export function startMemory(): Memory {
  const calls = new Map<string, Set<InFlight>>();
  /** Of nodes, and of single models of theirs. */
  const healths = new Map<string, Health>();
  const distancesMs = new Map<string, number>();

  const judge = (what: string, change: (health: Health) => Health): void => {
    const health = change(healths.get(what) ?? WELL);
    if (healths.size >= NODES_MAX) healths.clear();
    if (health.failures === 0) healths.delete(what);
    else healths.set(what, health);
  };
  const note = (node: string, model: string, outcome: Outcome, atMs: number): void => {
    judge(node, (health) => after(health, ofNode(outcome), atMs));
    judge(modelOf(node, model), (health) => after(health, ofModel(outcome), atMs));
  };
  /** The nearest it has been seen, given up slowly: a node that takes its time is not far away. */
  const noteDistance = (region: string, ms: number): void => {
    const known = distancesMs.get(region);
    if (distancesMs.size >= REGIONS_MAX) distancesMs.clear();
    distancesMs.set(region, known === undefined || ms < known ? ms : known + (ms - known) * SLOWER_WEIGHT);
  };

  return {
    call({ id, region }, { model, promptTokens }, nowMs) {
      const mine: InFlight = { model, atMs: nowMs, promptTokens };
      const running = calls.get(id) ?? new Set();
      calls.set(id, running.add(mine));
      for (const what of [id, modelOf(id, model)]) judge(what, (health) => called(health, nowMs));
      return {
        taken(atMs) {
          noteDistance(region, atMs - nowMs);
        },
        began(atMs) {
          mine.promptTokens = 0;
          note(id, model, "answered", atMs);
        },
        ended(outcome, atMs) {
          running.delete(mine);
          if (running.size === 0 && calls.get(id) === running) calls.delete(id);
          note(id, model, outcome, atMs);
        },
      };
    },
    knowledge: (nowMs) => ({
      nowMs,
      own({ id, beatAtMs }, model) {
        let running = 0;
        let sinceBeat = 0;
        let promptTokensSinceBeat = 0;
        for (const call of calls.get(id) ?? []) {
          // Other models of the node have slots of their own.
          if (call.model !== model) continue;
          running++;
          if (call.atMs < beatAtMs) continue;
          sinceBeat++;
          promptTokensSinceBeat += call.promptTokens;
        }
        return { sinceBeat, promptTokensSinceBeat, running };
      },
      rttMs: (region) => distancesMs.get(region) ?? RTT_MS_UNMEASURED,
      behindUntilMs(node, model) {
        const whole = behindUntilMs(healths.get(node) ?? WELL, nowMs);
        const itsModel = behindUntilMs(healths.get(modelOf(node, model)) ?? WELL, nowMs);
        return whole === undefined || itsModel === undefined
          ? (whole ?? itsModel)
          : Math.max(whole, itsModel);
      },
      heldChars,
    }),
  };
}

/** Ids of nodes have no spaces. */
function modelOf(node: string, model: string): string {
  return `${node} ${model}`;
}

/** Decoded once: a sketch is an object of one snapshot. */
const decoded = new WeakMap<Sketch, Uint32Array>();

function heldChars({ sketch }: LiveNode, prompt: Marks): number {
  if (sketch === undefined) return 0;
  let held = decoded.get(sketch);
  if (held === undefined) {
    held = readSketch(sketch);
    decoded.set(sketch, held);
  }
  return charsHeld(prompt, held);
}

/** The one of this isolate. */
export const isolate = startMemory();
