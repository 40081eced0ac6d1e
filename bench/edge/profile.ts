/**
 * `npm run bench -- profile`: where Sluice's CPU goes under one load after another, by the function it was spent in, as
 * V8's sampling profiler inside workerd sees it. "(program)" is the platform itself: HTTP, RPC, SQLite, cryptography.
 */
import { z } from "zod";
import { EVENTS_WHOLE, type Cell } from "./cells.ts";
import { measure, type Tally } from "./measure.ts";
import { Helper, type FromUpstream, type LoadAsk, type LoadResult, type ToUpstream } from "./messages.ts";
import { freePort } from "../../tools/run/ports.ts";
import { startSluice } from "./targets/sluice.ts";

const FOR_MS = 4_000;
const SAMPLE_US = 200;
const TOP = 30;
const ANSWER_MS = 30_000;

const Profile = z.object({
  nodes: z.array(
    z.object({
      id: z.int(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.int() }),
      children: z.array(z.int()).optional(),
    }),
  ),
  samples: z.array(z.int()),
  timeDeltas: z.array(z.number()),
});
type Profile = z.infer<typeof Profile>;
const Inspected = z.array(z.object({ webSocketDebuggerUrl: z.string(), id: z.string().optional() }));

class Inspector {
  readonly #socket: WebSocket;
  #next = 1;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  static async open(port: number): Promise<Inspector> {
    const targets = Inspected.parse(await (await fetch(`http://127.0.0.1:${port}/json`)).json());
    const target = targets.find(({ webSocketDebuggerUrl: url }) => url.includes("sluice")) ?? targets[0];
    if (target === undefined) throw new Error("the inspector shows nothing");
    const socket = new WebSocket(target.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("error", () => reject(new Error("the inspector refused")), { once: true });
    });
    return new Inspector(socket);
  }

  ask(method: string, params: object = {}): Promise<unknown> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), ANSWER_MS);
      const hear = ({ data }: MessageEvent): void => {
        const answer = JSON.parse(String(data)) as { id?: number; result?: unknown; error?: unknown };
        if (answer.id !== id) return;
        clearTimeout(timer);
        this.#socket.removeEventListener("message", hear);
        if (answer.error === undefined) resolve(answer.result);
        else reject(new Error(`${method}: ${JSON.stringify(answer.error)}`));
      };
      this.#socket.addEventListener("message", hear);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  close(): void {
    this.#socket.close();
  }
}

const CELLS: readonly Cell[] = [
  { id: "json.c16", scene: "json", lanes: 16, forMs: FOR_MS, eachMax: 1e6, staggerMs: 0 },
  { id: "burst.c16", scene: "burst", lanes: 16, forMs: FOR_MS, eachMax: 1e6, staggerMs: 0 },
  { id: "gap2.c16", scene: "gap2", lanes: 16, forMs: FOR_MS, eachMax: 5, staggerMs: 0 },
];

export async function runProfile(root: string, say: (what: string) => void): Promise<void> {
  const upstream = new Helper<ToUpstream, FromUpstream>(new URL("upstream/main.ts", import.meta.url));
  const loader = new Helper<LoadAsk, LoadResult>(new URL("load/main.ts", import.meta.url));
  const inspectorPort = await freePort();
  try {
    const { nodePort = 0 } = await upstream.ask({ do: "ports" });
    const sluice = await startSluice({ root, upstream, nodePort, inspectorPort });
    try {
      const tally: Tally = { sent: 0, tokens: 0 };
      for (const cell of CELLS) {
        await measure(loader, sluice, { ...cell, forMs: FOR_MS / 4, eachMax: 50 }, { tally });
        const inspector = await Inspector.open(inspectorPort);
        await inspector.ask("Profiler.enable");
        await inspector.ask("Profiler.setSamplingInterval", { interval: SAMPLE_US });
        await inspector.ask("Profiler.start");
        const measured = await measure(loader, sluice, cell, { tally });
        const { profile } = z.object({ profile: Profile }).parse(await inspector.ask("Profiler.stop"));
        inspector.close();
        say(
          `\n${cell.id}: ${measured.sent} requests, ${measured.cpuUsPerRequest.toFixed(0)} µs each (${(measured.cpuUsPerRequest / EVENTS_WHOLE).toFixed(1)} per 201st)`,
        );
        for (const line of linesOf(profile, measured.sent)) say(line);
      }
    } finally {
      await sluice.stop();
    }
  } finally {
    loader.stop();
    upstream.stop();
  }
}

/** Functions by their own time, and with what they call, per request. */
function linesOf({ nodes, samples, timeDeltas }: Profile, requests: number): string[] {
  const parents = new Map(nodes.flatMap(({ id, children }) => (children ?? []).map((child) => [child, id])));
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const selfUs = new Map<string, number>();
  const withinUs = new Map<string, number>();
  samples.forEach((id, at) => {
    const us = timeDeltas[at] ?? 0;
    const stack = new Set<string>();
    for (let node: number | undefined = id; node !== undefined; node = parents.get(node))
      stack.add(names.get(node) ?? "?");
    const own = names.get(id) ?? "?";
    selfUs.set(own, (selfUs.get(own) ?? 0) + us);
    for (const name of stack) withinUs.set(name, (withinUs.get(name) ?? 0) + us);
  });
  const top = (what: string, all: ReadonlyMap<string, number>): string[] => [
    `  ${what}`,
    ...[...all]
      .sort((a, b) => b[1] - a[1])
      .slice(0, TOP)
      .map(([name, us]) => `${(us / requests).toFixed(1).padStart(9)} µs  ${name}`),
  ];
  return [...top("by itself", selfUs), ...top("with what it calls", withinUs)];
}

function nameOf({ functionName, url, lineNumber }: Profile["nodes"][number]["callFrame"]): string {
  const place = url === "" ? "" : ` ${url.slice(url.lastIndexOf("/") + 1)}:${lineNumber + 1}`;
  return `${functionName || "(anonymous)"}${place}`;
}
