/**
 * `npm run bench -- account`: what one account's object can do, in workerd, with its commits on disk. Admissions in a
 * closed loop of one, sixteen and sixty-four; and at an even pace with as many settlements, as beats bring them.
 *
 * One thread runs the object and the load, and, unlike on Cloudflare, also the queue, its consumer and D1. So the mix is
 * measured twice: with the log projected beside it, and with the projection held back, which is what the object itself
 * does. Whether settlements stall admissions is judged by the second.
 */
import { mkdtemp, mkdir, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { AdminClient } from "../../tools/run/admin-client.ts";
import { freePort } from "../../tools/run/ports.ts";
import { until } from "../../tools/run/processes.ts";
import { StateFolder } from "../../tools/run/state.ts";
import { WorkerProcess } from "../../tools/run/worker.ts";
import { median, spreadOf } from "../edge/stats.ts";

const READY_MS = 30_000;
const LANES = [1, 16, 64] as const;
const SETTLEMENTS_PER_S = 1_500;
/** Settled a second after its admission: that second is not of the mix. */
const PLANS = {
  full: { rounds: 3, admitMs: 3_000, mixedMs: 8_000 },
  quick: { rounds: 1, admitMs: 500, mixedMs: 2_000 },
} as const;

const MIXED = `${SETTLEMENTS_PER_S}/s each way`;
const MIXED_APART = `${SETTLEMENTS_PER_S}/s each way, projection held back`;
const HELD_BACK = { projectDelayMs: 1_000_000, gatherMs: 1_000_000, resendMs: 1_000_000 };

function namedAdmissions(lanes: number): string {
  return `admissions, ${lanes} at once`;
}

const AIMS = { admissionsPerS: 2_000, p99Ms: 40 } as const;

const Loaded = z.object({ seconds: z.number(), settled: z.int(), tookMs: z.array(z.number()) });

export type Cell = {
  readonly admissionsPerS: number;
  readonly settlementsPerS: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
};

export type AccountResult = {
  /** Medians of the rounds. */
  readonly cells: Readonly<Record<string, Cell>>;
  readonly aims: readonly {
    readonly what: string;
    readonly aim: number;
    readonly got: number;
    readonly met: boolean;
  }[];
  readonly machine: { readonly cores: number; readonly cpu: string; readonly load: readonly number[] };
};

export async function runAccount(settings: {
  readonly root: string;
  readonly quick: boolean;
  readonly say: (what: string) => void;
}): Promise<AccountResult> {
  const { root, quick, say } = settings;
  const plan = PLANS[quick ? "quick" : "full"];
  const before = loadavg();
  const admissions = LANES.map((lanes): Query => [
    namedAdmissions(lanes),
    `mode=admit&lanes=${lanes}&ms=${plan.admitMs}`,
  ]);
  const mixed = `mode=mixed&perS=${SETTLEMENTS_PER_S}&ms=${plan.mixedMs}`;
  const rounds = new Map<string, Cell[]>();
  const measure = async (queries: readonly Query[], clocks: object): Promise<void> => {
    await using edge = await startEdge(root, clocks);
    // V8 has compiled by then, and the disk has woken.
    await edge.cell(`mode=admit&lanes=16&ms=${plan.admitMs}`);
    for (let round = 0; round < plan.rounds; round++) {
      for (const [name, query] of queries) {
        say(`round ${round + 1} of ${plan.rounds}: ${name}`);
        rounds.set(name, [...(rounds.get(name) ?? []), await edge.cell(query)]);
      }
    }
  };
  await measure([...admissions, [MIXED, mixed]], {});
  await measure([[MIXED_APART, mixed]], HELD_BACK);
  return resultOf(rounds, [...before, ...loadavg()]);
}

type Query = readonly [name: string, query: string];

async function startEdge(
  root: string,
  clocks: object,
): Promise<AsyncDisposable & { readonly cell: (query: string) => Promise<Cell> }> {
  const folder = new StateFolder(await mkdtemp(join(tmpdir(), "sluice-account-")));
  const { secrets, adminToken } = folder.secrets();
  const port = await freePort();
  const baseUrl = `http://127.0.0.1:${port}`;
  const dataDir = folder.file("worker");
  await mkdir(dataDir, { recursive: true });
  const worker = new WorkerProcess({
    root,
    port,
    dataDir,
    logFile: folder.file("logs", "worker.log"),
    main: "./bench/worker/account-load.ts",
    vars: {
      SLUICE_SECRETS: secrets,
      SLUICE_ADMIN_TOKEN: adminToken,
      SLUICE_DEV: "1",
      SLUICE_CLOCKS: JSON.stringify(clocks),
    },
  });
  await worker.start();
  await worker.migrate();
  if (!(await until(() => new AdminClient(baseUrl, adminToken).healthy(), READY_MS)))
    throw new Error("the edge does not answer");
  return {
    cell: async (query) => {
      const response = await fetch(`${baseUrl}/v1/bench/account?${query}`);
      return cellOf(Loaded.parse(await response.json()));
    },
    async [Symbol.asyncDispose]() {
      await worker.stop();
      await rm(folder.path, { recursive: true, force: true });
    },
  };
}

function cellOf({ seconds, settled, tookMs }: z.infer<typeof Loaded>): Cell {
  const { p50, p99 } = spreadOf(tookMs);
  return {
    admissionsPerS: tookMs.length / seconds,
    settlementsPerS: settled / seconds,
    p50Ms: p50,
    p99Ms: p99,
  };
}

function resultOf(rounds: ReadonlyMap<string, readonly Cell[]>, load: readonly number[]): AccountResult {
  const cells = Object.fromEntries(
    [...rounds].map(([name, all]) => {
      const middle = (of: keyof Cell): number => Number(median(all.map((cell) => cell[of])).toFixed(1));
      return [
        name,
        {
          admissionsPerS: middle("admissionsPerS"),
          settlementsPerS: middle("settlementsPerS"),
          p50Ms: middle("p50Ms"),
          p99Ms: middle("p99Ms"),
        },
      ];
    }),
  );
  const full = cells[namedAdmissions(64)]?.admissionsPerS ?? 0;
  const p99 = cells[MIXED_APART]?.p99Ms ?? Number.POSITIVE_INFINITY;
  return {
    cells,
    aims: [
      {
        what: "admissions/s, 64 at once: at least",
        aim: AIMS.admissionsPerS,
        got: full,
        met: full >= AIMS.admissionsPerS,
      },
      {
        what: "p99 of an admission under 1,500 settlements/s, ms: at most",
        aim: AIMS.p99Ms,
        got: p99,
        met: p99 <= AIMS.p99Ms,
      },
    ],
    machine: {
      cores: cpus().length,
      cpu: cpus()[0]?.model ?? "",
      load: load.map((one) => Number(one.toFixed(2))),
    },
  };
}

export function printAccount({ cells, aims, machine }: AccountResult): string {
  const head = ["", "admissions/s", "settlements/s", "p50 ms", "p99 ms"];
  const rows = Object.entries(cells).map(([name, cell]) => [
    name,
    String(cell.admissionsPerS),
    cell.settlementsPerS === 0 ? "-" : String(cell.settlementsPerS),
    String(cell.p50Ms),
    String(cell.p99Ms),
  ]);
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const lines = all.map((row) =>
    row
      .map((text, at) => (at === 0 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0)))
      .join("  "),
  );
  const judged = aims.map(
    ({ what, aim, got, met }) => `${met ? "met   " : "MISSED"}  ${what} ${aim}: ${got}`,
  );
  return [
    ...lines,
    "",
    ...judged,
    `cores ${machine.cores}, ${machine.cpu}, load ${machine.load.join(" ")}`,
  ].join("\n");
}
