/**
 * One run: a workload against a fleet under one policy. Edges decide by what nodes said some time ago and by their own
 * requests; nodes queue for real; some nodes may die in the middle and come back empty. Deterministic: seeded.
 *
 * What happens after a failure is the same for every policy: a request is sent to another node, never to one it has
 * tried; an answer that had begun goes on elsewhere, with what was made of it as part of the prompt.
 */
import { diceOf } from "./dice.ts";
import { edgeOf, makeEdges, makeFleet, rttMs, type Edge } from "./fleet.ts";
import { BEAT_DEAD_MS } from "../../src/nodes/limits.ts";
import { Agenda } from "./heap.ts";
import { jobMarks, type Job, type LoadSample, type SimNode } from "./node.ts";
import type { BlockMarks } from "./blocks.ts";
import type { MakePolicy, Policy, Seen } from "./policies/policy.ts";
import type { SimRequest } from "./request.ts";

const BEAT_MS = 1_000;
const SENDINGS_MAX = 8;

export type Scene = {
  readonly requests: readonly SimRequest[];
  readonly nodes: number;
  readonly edges: number;
  readonly telemetryAgeMs: number;
  /** A node dies after each of these parts of the run, and is back after a tenth of it. */
  readonly deaths: readonly number[];
  readonly seed: number;
};

export type Told = {
  readonly request: SimRequest;
  cachedTokens: number;
  firstMs?: number;
  endMs?: number;
};

export type Run = { readonly told: readonly Told[]; readonly busyMs: readonly number[] };

type Trip = {
  readonly told: Told;
  readonly marks: BlockMarks;
  readonly edge: Edge;
  readonly tried: Set<number>;
  made: number;
  sendings: number;
};

export function simulate(scene: Scene, make: MakePolicy): Run {
  return new World(scene, make).run();
}

class World {
  readonly #scene: Scene;
  readonly #nodes: SimNode[];
  readonly #edges: Edge[];
  readonly #policies: Policy[];
  readonly #inFlight: number[][];
  readonly #samples: Seen[][];
  readonly #agenda = new Agenda();
  readonly #dice;
  readonly #lost = new Map<Job, (made: number, atMs: number) => void>();
  #left: number;

  constructor(scene: Scene, make: MakePolicy) {
    this.#scene = scene;
    this.#dice = diceOf(scene.seed);
    this.#nodes = makeFleet(scene.nodes);
    this.#edges = makeEdges(scene.edges);
    this.#policies = this.#edges.map(({ at }) => make(this.#nodes, diceOf(scene.seed + 1_000 + at)));
    this.#inFlight = this.#edges.map(() => this.#nodes.map(() => 0));
    this.#samples = this.#nodes.map(() => []);
    this.#left = scene.requests.length;
  }

  run(): Run {
    const told: Told[] = [];
    for (const [at, node] of this.#nodes.entries())
      this.#beat(node, at, (at * BEAT_MS) / this.#nodes.length - 2 * BEAT_MS);
    for (const request of this.#scene.requests) {
      const one: Told = { request, cachedTokens: 0 };
      told.push(one);
      this.#agenda.put(request.atMs, () => this.#arrive(one));
    }
    this.#planDeaths();
    for (let next = this.#agenda.take(); next !== undefined && this.#left > 0; next = this.#agenda.take())
      next.run();
    return { told, busyMs: this.#nodes.map(({ busyMs }) => busyMs) };
  }

  #beat(node: SimNode, at: number, atMs: number): void {
    if (node.alive) {
      node.advance(atMs);
      this.#samples[at]?.push({ at, node, sample: node.sample(atMs) });
    }
    this.#agenda.put(atMs + BEAT_MS, () => this.#beat(node, at, atMs + BEAT_MS));
  }

  #arrive(told: Told): void {
    const { request } = told;
    const edge = edgeOf(this.#edges, request, this.#dice);
    if (edge === undefined) return;
    const trip = { told, marks: jobMarks(request), edge, tried: new Set<number>(), made: 0, sendings: 0 };
    this.#send(trip, request.atMs);
  }

  /** Lets the nodes come to this moment, and with them what they have to say by then. */
  #send(trip: Trip, nowMs: number): void {
    for (const node of this.#nodes) if (node.alive) node.advance(nowMs);
    if (this.#agenda.nextAtMs < nowMs) this.#agenda.put(nowMs, () => this.#decide(trip, nowMs));
    else this.#decide(trip, nowMs);
  }

  #decide(trip: Trip, nowMs: number): void {
    const { told, marks, edge, tried } = trip;
    const { request } = told;
    const policy = this.#policies[edge.at];
    const inFlight = this.#inFlight[edge.at] ?? [];
    const seen = this.#seenAt(nowMs).filter(({ at }) => !tried.has(at));
    const at =
      trip.sendings++ < SENDINGS_MAX
        ? policy?.pick({ request, marks, nowMs, seen, inFlight, tried })
        : undefined;
    const target = seen.find((one) => one.at === at);
    if (policy === undefined || target === undefined) {
      this.#left--;
      return;
    }
    const sent = policy.sent(request, target, nowMs);
    this.#count(edge, target.at, 1);
    const wayMs = rttMs(edge.region, target.node.region);
    const fail = (atMs: number): void => {
      sent.failed(atMs);
      this.#count(edge, target.at, -1);
      tried.add(target.at);
      this.#send(trip, atMs);
    };
    this.#agenda.put(nowMs + wayMs / 2, () =>
      this.#deliver(trip, target, nowMs + wayMs / 2, { wayMs, sent, fail }),
    );
  }

  #deliver(
    trip: Trip,
    { node, at }: Seen,
    nowMs: number,
    { wayMs, sent, fail }: { wayMs: number; sent: ReturnType<Policy["sent"]>; fail: (atMs: number) => void },
  ): void {
    const { told, marks, edge } = trip;
    const later = (atMs: number, run: (atMs: number) => void): void =>
      this.#agenda.put(atMs + wayMs / 2, () => run(atMs + wayMs / 2));
    if (!node.alive) {
      later(nowMs, fail);
      return;
    }
    node.advance(nowMs);
    const before = trip.made;
    const job: Job = {
      request: told.request,
      marks,
      prompt: told.request.input + before,
      answer: Math.max(1, told.request.output - before),
      firstToken: (atMs, cached) => {
        if (told.firstMs === undefined) told.cachedTokens = Math.min(cached, told.request.input);
        later(atMs, (heardMs) => {
          told.firstMs ??= heardMs;
          sent.firstToken(heardMs, wayMs);
        });
      },
      ended: (atMs) => {
        this.#lost.delete(job);
        later(atMs, (heardMs) => {
          told.endMs = heardMs;
          this.#count(edge, at, -1);
          sent.ended(heardMs);
          this.#left--;
        });
      },
    };
    this.#lost.set(job, (made, atMs) => {
      trip.made = before + made;
      later(atMs, fail);
    });
    node.enqueue(job, nowMs);
  }

  #planDeaths(): void {
    const spanMs = this.#scene.requests.at(-1)?.atMs ?? 0;
    for (const [i, part] of this.#scene.deaths.entries()) {
      const node = this.#nodes[(i * 2 + 1) % this.#nodes.length];
      if (node === undefined) continue;
      this.#agenda.put(part * spanMs, () => {
        node.advance(part * spanMs);
        for (const { job, made } of node.die()) this.#lost.get(job)?.(made, part * spanMs);
      });
      this.#agenda.put((part + 0.1) * spanMs, () => node.revive((part + 0.1) * spanMs));
    }
  }

  /** What an edge knows of the fleet: of each node the last beat that is as old as telemetry is here. */
  #seenAt(nowMs: number): Seen[] {
    const knownMs = nowMs - this.#scene.telemetryAgeMs;
    return this.#samples.flatMap((samples) => {
      // A run begins with idle nodes that have all been heard of.
      while (samples.length > 1 && atMsOf(samples[1]) <= knownMs) samples.shift();
      const [newest] = samples;
      return newest === undefined || knownMs - newest.sample.atMs > BEAT_DEAD_MS ? [] : [newest];
    });
  }

  #count({ at }: Edge, node: number, by: number): void {
    const counts = this.#inFlight[at];
    if (counts !== undefined) counts[node] = (counts[node] ?? 0) + by;
  }
}

function atMsOf(seen: { readonly sample: LoadSample } | undefined): number {
  return seen?.sample.atMs ?? Infinity;
}
