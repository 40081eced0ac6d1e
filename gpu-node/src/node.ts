/**
 * One node, put together: everything but argv, signals and the exit of the process, so that a test can have one. The
 * server answers (with `loading`) before the engine is open, and beats go out before it too: an edge can see a node come.
 */
import { createAdaptorServer } from "@hono/node-server";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { CallKeyList } from "@sluice/protocol/enrol";
import { Beats } from "./beat/beats.ts";
import { Heart } from "./heart.ts";
import type { EdgeSide } from "./edge-side.ts";
import { Life } from "./life.ts";
import { errorFields } from "./log.ts";
import { makeApp } from "./server.ts";
import type { Workshop } from "./workshop.ts";

const PRUNE_INTERVAL_MS = 60_000;
/** Steps of pruning in one go; the rest waits for the next. */
const PRUNE_STEPS_MAX = 10;
/** Receipts are on disk: a stop does not wait for their acknowledgement longer than this. */
const LAST_RECEIPTS_MS = 2_000;
const LAST_RECEIPTS_POLL_MS = 20;
/** A connection may rest this long; longer than an edge's own pool keeps it. */
const IDLE_CONNECTION_MS = 75_000;

export type NodeParts = {
  readonly workshop: Workshop;
  readonly host: string;
  readonly port: number;
  readonly edge:
    | {
        readonly url: URL;
        readonly side: EdgeSide;
        readonly keepCallKeys: (keys: CallKeyList) => Promise<void>;
      }
    | undefined;
  readonly newId: () => string;
  readonly wallMs: () => number;
  readonly dice: () => number;
  /** The node can do nothing more: its journal cannot be written. */
  readonly fail: (error: unknown) => void;
};

export class GpuNode {
  readonly #parts: NodeParts;
  readonly #life: Life;
  readonly #beats: Beats | undefined;
  readonly #server: Server;
  readonly #pruning: NodeJS.Timeout | undefined;

  constructor(parts: NodeParts) {
    this.#parts = parts;
    const { workshop, edge, wallMs, dice } = parts;
    this.#life = new Life({
      engineReady: () => workshop.ready,
      wakeMs: () => workshop.wakeMs,
      clockKnown: () => edge === undefined || edge.side.clock.known,
      onDeadline: () => workshop.running.stopAll("drained"),
    });
    const poke = (): void => this.#beats?.poke();
    if (edge !== undefined) {
      const { keepCallKeys } = edge;
      const { log, now } = workshop;
      const heart = new Heart({
        workshop,
        edge: edge.side,
        life: this.#life,
        log,
        wallMs,
        poke,
        keepCallKeys,
      });
      this.#beats = new Beats(edge.url, edge.side.identity, {
        compose: () => heart.compose(),
        apply: (beat, reply, times) => heart.apply(beat, reply, times),
        log,
        now,
        dice,
      });
      this.#pruning = setInterval(() => this.#prune(), PRUNE_INTERVAL_MS);
    }
    const app = makeApp({ ...parts, life: this.#life, edge: edge?.side, poke });
    this.#server = createAdaptorServer({ fetch: app.fetch }) as Server;
    this.#server.keepAliveTimeout = IDLE_CONNECTION_MS;
  }

  get life(): Life {
    return this.#life;
  }

  /** The url it listens at. */
  async listen(): Promise<string> {
    const { host, port } = this.#parts;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, host, () => {
        this.#server.off("error", reject);
        resolve();
      });
    });
    this.#beats?.start();
    const { port: listening } = this.#server.address() as AddressInfo;
    return `http://${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${listening}`;
  }

  /** What it serves has changed: the edge shall know at once. */
  told(): void {
    this.#beats?.poke();
  }

  /** Lets what runs finish for `drainMs`, sends what receipts it can, and lets go of everything. */
  async stop(drainMs: number): Promise<void> {
    const { workshop, edge } = this.#parts;
    this.#life.drain(drainMs, true);
    this.#beats?.poke();
    await workshop.running.empty();
    if (edge !== undefined) await this.#sendLastReceipts(edge.side);
    clearInterval(this.#pruning);
    this.#life.end();
    await this.#beats?.stop();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await Promise.all(workshop.stations.map((station) => station.close()));
    workshop.stop();
    edge?.side.journal.close();
  }

  async #sendLastReceipts({ receipts }: EdgeSide): Promise<void> {
    const { now } = this.#parts.workshop;
    const untilMs = now() + LAST_RECEIPTS_MS;
    while (receipts.unsettled() > 0 && now() < untilMs)
      await new Promise((resolve) => setTimeout(resolve, LAST_RECEIPTS_POLL_MS));
  }

  #prune(): void {
    const { edge, wallMs, workshop } = this.#parts;
    try {
      for (let steps = 0; steps < PRUNE_STEPS_MAX && edge?.side.receipts.prune(wallMs()); steps++);
    } catch (error) {
      workshop.log("prune_failed", errorFields(error));
    }
  }
}
