/**
 * The platform that counts: the edge with bench/worker/counting.ts, one node with the script engine, one account. Tells
 * what was counted and what CPU the edge's process took in a stretch of time.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Stack, type Tenant } from "../../test/support/stack.ts";
import { startPlatform } from "../../tools/run/platform.ts";
import { cpuUs } from "../edge/cpu.ts";
import { amountsOf, type Amounts, type Counts } from "./price.ts";

export type Stretch = { readonly amounts: Amounts; readonly counts: Counts; readonly seconds: number };

export type CountingStack = AsyncDisposable & {
  readonly api: Stack;
  readonly tenant: Tenant;
  /** Counts while `work` runs. */
  readonly during: (work: () => Promise<unknown>) => Promise<Stretch>;
};

/** Streams of ten seconds, fifty begun a second. */
const SLOTS = 1_000;

export async function startCounting(clocks: Readonly<Record<string, number>> = {}): Promise<CountingStack> {
  const dataDir = await mkdtemp(join(tmpdir(), "sluice-cost-"));
  const platform = await startPlatform({
    engine: "script",
    dataDir,
    main: "./bench/worker/counting.ts",
    vars: { SLUICE_CLOCKS: JSON.stringify(clocks) },
    nodeArgs: ["--slots", String(SLOTS), "--queue-max", String(SLOTS)],
  });
  const api = new Stack(platform);
  const tenant = await api.tenant({ creditUsd: "1000" });
  const counts = async (): Promise<Counts> =>
    (await (await fetch(`${platform.baseUrl}/v1/bench/counts`)).json()) as Counts;
  const cpu = (): number => (platform.workerdPid === undefined ? 0 : cpuUs(platform.workerdPid));
  return {
    api,
    tenant,
    during: async (work) => {
      await counts();
      const [startedAtMs, cpuBefore] = [performance.now(), cpu()];
      await work();
      const cpuMs = (cpu() - cpuBefore) / 1_000;
      const counted = await counts();
      const seconds = (performance.now() - startedAtMs) / 1_000;
      return { amounts: amountsOf(counted, cpuMs), counts: counted, seconds };
    },
    async [Symbol.asyncDispose]() {
      await platform.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
