/**
 * Who is struck, when, and how: nodes one at a time, and beside that single wires. At every moment at least one node is
 * sound, because a node that was struck is given the time to come back before the next one is.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { NodeProcess } from "../../tools/run/node-process.ts";
import { signal, until } from "../../tools/run/processes.ts";
import type { Dice } from "../../tools/train/corpus/dice.ts";
import type { TcpProxy, WireFault } from "../support/tcp-proxy.ts";
import type { Hit, Kind } from "./judge.ts";

export type Victim = {
  readonly node: NodeProcess;
  readonly proxy: TcpProxy;
  /** Around the proxy: whether the node takes calls. */
  readonly healthUrl: string;
};

type NodeFault = Extract<Kind, "kill" | "freeze" | "slow" | "restart">;

export type Weather = {
  readonly nodes: readonly (readonly [weight: number, fault: NodeFault])[];
  readonly wires: readonly (readonly [weight: number, fault: WireFault])[];
  readonly nodePauseMs: readonly [number, number];
  readonly wirePauseMs: readonly [number, number];
};

const DEAD_MS = [100, 1_000] as const;
/** Longer than the edge waits for a silent node, so that it is given up; then it wakes. */
const FROZEN_MS = [3_500, 6_000] as const;
const SLOW_MS = 2_000;
/** Stopped and woken in turns: a machine with something else to do. */
const SLOW_TURN_MS = 100;
const BACK_MS = 60_000;
const BYTES_UNTIL_STRUCK = [1, 2_500] as const;
/** After a node is back: its beats say so, and it takes its share again. */
const SETTLE_MS = 500;

export class Injector {
  readonly #victims: readonly Victim[];
  readonly #weather: Weather;
  readonly #dice: Dice;
  readonly #hits: Hit[];
  readonly blows: Kind[] = [];
  readonly #say: (what: string) => void;
  #wanted = true;

  constructor(
    victims: readonly Victim[],
    weather: Weather,
    { dice, hits, say }: { readonly dice: Dice; readonly hits: Hit[]; readonly say: (what: string) => void },
  ) {
    this.#victims = victims;
    this.#weather = weather;
    this.#dice = dice;
    this.#hits = hits;
    this.#say = say;
  }

  /** Strikes until it is told to stop; resolves when every node is back. */
  async run(): Promise<void> {
    await Promise.all([this.#strikeNodes(), this.#strikeWires()]);
  }

  stop(): void {
    this.#wanted = false;
  }

  async #strikeNodes(): Promise<void> {
    const { nodes, nodePauseMs } = this.#weather;
    while (this.#wanted && nodes.length > 0) {
      await delay(this.#dice.int(...nodePauseMs));
      const victim = this.#dice.pick(this.#victims);
      // Nobody would notice.
      if (!this.#wanted || victim.proxy.carried.length === 0) continue;
      await this.#strikeNode(victim, this.#dice.weighted(nodes));
      if (!(await until(() => takesCalls(victim.healthUrl), BACK_MS, 50)))
        throw new Error(`${victim.node.name} did not come back; its log is ${victim.node.logFile}`);
      await delay(SETTLE_MS);
    }
  }

  async #strikeNode({ node, proxy }: Victim, kind: NodeFault): Promise<void> {
    const hit = (request: string): unknown => this.#hits.push({ kind, request, atMs: performance.now() });
    proxy.carried.forEach(hit);
    this.blows.push(kind);
    this.#say(`${kind} ${node.name}`);
    switch (kind) {
      case "kill":
        await node.kill("tree");
        await delay(this.#dice.int(...DEAD_MS));
        node.start();
        return;
      case "restart":
        await node.stop();
        node.start();
        return;
      case "freeze": {
        const pids = pidsOf(node);
        for (const pid of pids) signal(pid, "SIGSTOP");
        // Nobody knows yet: calls still come.
        proxy.onCall(hit);
        await delay(this.#dice.int(...FROZEN_MS));
        proxy.onCall(undefined);
        for (const pid of pids) signal(pid, "SIGCONT");
        return;
      }
      case "slow": {
        const pids = pidsOf(node);
        for (const untilMs = performance.now() + SLOW_MS; performance.now() < untilMs;) {
          for (const name of ["SIGSTOP", "SIGCONT"] as const) {
            for (const pid of pids) signal(pid, name);
            await delay(SLOW_TURN_MS);
          }
        }
      }
    }
  }

  async #strikeWires(): Promise<void> {
    const { wires, wirePauseMs } = this.#weather;
    while (this.#wanted && wires.length > 0) {
      await delay(this.#dice.int(...wirePauseMs));
      const { proxy } = this.#dice.pick(this.#victims);
      const { carried } = proxy;
      if (carried.length === 0) continue;
      const inBytes = this.#dice.int(...BYTES_UNTIL_STRUCK);
      proxy.strike(this.#dice.pick(carried), this.#dice.weighted(wires), inBytes);
    }
  }
}

function pidsOf(node: NodeProcess): readonly number[] {
  return [...(node.pid === undefined ? [] : [node.pid]), ...node.enginePids];
}

async function takesCalls(healthUrl: string): Promise<boolean> {
  try {
    const response = await fetch(healthUrl, { signal: AbortSignal.timeout(1_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
