/** How many threads a turn gets, while the machine changes under it. */
import { describe, test } from "vitest";
import { ChunkSize, settle, threadsToTry } from "../../../gpu-node/src/engines/llama/calibrate.ts";
import { parseCpuTimes, SpareCores, type CpuTimes } from "../../../gpu-node/src/engines/llama/spare-cores.ts";
import { ThreadGovernor } from "../../../gpu-node/src/engines/llama/thread-governor.ts";

/** Turns of eight tokens on a machine where a turn by so many threads takes so long; the numbers that were used. */
function live(governor: ThreadGovernor, turns: number, msBy: Readonly<Record<number, number>>): number[] {
  const used: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const { threads } = governor;
    used.push(threads);
    governor.note(8, msBy[threads] ?? Number.NaN);
  }
  return used;
}

describe("threads at run time", () => {
  test("a thread too many is noticed within a second's turns and dropped", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2], 2);
    live(governor, 500, { 1: 10, 2: 6 });
    expect(governor.threads).toBe(2);
    const used = live(governor, 40, { 1: 10, 2: 200 });
    expect(used.filter((threads) => threads === 2).length).toBeLessThan(30);
    expect(governor.threads).toBe(1);
  });

  test("an idle machine gets its second thread back, where it is worth it", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2], 1);
    live(governor, 100, { 1: 10, 2: 6 });
    expect(governor.threads).toBe(2);
  });

  test("a little faster is not worth a core", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2], 1);
    live(governor, 1_000, { 1: 10, 2: 9 });
    expect(governor.threads).toBe(1);
  });

  test("trials that are in vain become rare, and a hopeless one is one turn long", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2], 1);
    const used = live(governor, 8_000, { 1: 10, 2: 300 });
    expect(used.filter((threads) => threads === 2).length).toBeLessThan(10);
  });

  test("a machine without an idle core is never tried with more threads, and may give one back", ({
    expect,
  }) => {
    const busy = new ThreadGovernor([1, 2], 1, () => false);
    expect(new Set(live(busy, 5_000, { 1: 10, 2: 300 }))).toEqual(new Set([1]));
    const crowded = new ThreadGovernor([1, 2], 2, () => false);
    live(crowded, 100, { 1: 10, 2: 300 });
    expect(crowded.threads).toBe(1);
  });

  test("cores that come free are used soon, however long nothing could be tried", ({ expect }) => {
    let idle = false;
    const governor = new ThreadGovernor([1, 2], 1, () => idle);
    live(governor, 5_000, { 1: 10, 2: 6 });
    expect(governor.threads).toBe(1);
    idle = true;
    live(governor, 16, { 1: 10, 2: 6 });
    expect(governor.threads).toBe(2);
  });

  test("on a crowded machine fewer are tried too, while more have no cores", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2, 4], 2, () => false);
    live(governor, 300, { 1: 10, 2: 20, 4: 300 });
    expect(governor.threads).toBe(1);
  });

  test("turns of different sizes are not compared", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2], 1);
    for (let turn = 0; turn < 1_000; turn++) governor.note(1 + (turn % 7), turn % 2 === 0 ? 1 : 100);
    expect(governor.threads).toBe(1);
  });
});

describe("cores that nobody uses", () => {
  const STAT =
    "cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 50 0 25 400 25 0 0 0 0 0\ncpu1 50 0 25 400 25 0 0 0 0 0\nintr 1\n";

  test("are read from the kernel's count, and unknown where there is none", ({ expect }) => {
    expect(parseCpuTimes(STAT)).toEqual({ cores: 2, idle: 850, total: 1_000 });
    expect(parseCpuTimes("nothing of the kind")).toBeUndefined();
  });

  test.for<[string, number, boolean]>([
    ["all but one core idle", 100, true],
    ["half a core idle", 50, false],
    ["none idle", 0, false],
  ])("%s", ([, idle, has], { expect }) => {
    let times: CpuTimes | undefined = { cores: 2, idle: 1_000, total: 4_000 };
    let nowMs = 0;
    const spare = new SpareCores(
      () => times,
      () => nowMs,
    );
    expect(spare.has(1)).toBe(false);
    times = { cores: 2, idle: 1_000 + idle, total: 4_200 };
    nowMs = 1_000;
    expect(spare.has(1)).toBe(has);
    // Asked again at once, it is the same.
    expect(spare.has(1)).toBe(has);
    expect(spare.has(2)).toBe(false);
  });

  test("what was busy before the last look says nothing of now", ({ expect }) => {
    let times: CpuTimes = { cores: 2, idle: 0, total: 0 };
    let nowMs = 0;
    const spare = new SpareCores(
      () => times,
      () => nowMs,
    );
    // A long while with every core busy, looked at now and then; then a moment with one of them idle.
    for (let turn = 0; turn < 100; turn++) {
      nowMs += 300;
      times = { ...times, total: times.total + 60 };
      spare.look();
    }
    expect(spare.has(1)).toBe(false);
    nowMs += 300;
    times = { ...times, idle: times.idle + 30, total: times.total + 60 };
    expect(spare.has(1)).toBe(true);
  });

  test("where the kernel does not say, trying is the only way to find out", ({ expect }) => {
    expect(new SpareCores(() => undefined).has(8)).toBe(true);
  });
});

describe("what is measured at the start", () => {
  test("all cores, one less, and the powers of two below", ({ expect }) => {
    expect(threadsToTry(2, 1)).toEqual([1, 2]);
    expect(threadsToTry(1, 1)).toEqual([1]);
    expect(threadsToTry(12, 11)).toEqual([1, 2, 4, 8, 11, 12]);
  });

  test("prompts and tokens settle apart, and a chunk is no longer than running answers may wait", ({
    expect,
  }) => {
    const measured = [
      { threads: 1, promptMsPerToken: 1, decodeMs: 3 },
      { threads: 2, promptMsPerToken: 0.6, decodeMs: 90 },
    ];
    expect(settle(measured, 512)).toEqual({ threads: { prompt: 2, decode: 1 }, chunkTokens: 192 });
    expect(settle([{ threads: 1, promptMsPerToken: 0.01, decodeMs: 1 }], 512).chunkTokens).toBe(512);
    expect(settle([{ threads: 1, promptMsPerToken: 900, decodeMs: 900 }], 512).chunkTokens).toBe(64);
  });

  test("the chunk follows the speed of the turns, and one late turn changes little", ({ expect }) => {
    const chunk = new ChunkSize(64, 512);
    const live = (turns: number, msPerToken: number): void => {
      for (let turn = 0; turn < turns; turn++) chunk.note(chunk.tokens, chunk.tokens * msPerToken);
    };
    live(20, 0.5);
    expect(chunk.tokens).toBe(192);
    chunk.note(192, 4_000);
    expect(chunk.tokens).toBe(128);
    live(5, 0.5);
    expect(chunk.tokens).toBe(192);
    chunk.note(4, 90);
    expect(chunk.tokens).toBe(192);
    live(20, 0.01);
    expect(chunk.tokens).toBe(512);
    live(20, 99);
    expect(chunk.tokens).toBe(64);
  });

  test("a prompt that is alone gets a longer chunk, of as long as a short question may wait", ({
    expect,
  }) => {
    const chunk = new ChunkSize(64, 512);
    expect(chunk.tokensAlone).toBe(128);
    for (let turn = 0; turn < 20; turn++) chunk.note(chunk.tokensAlone, chunk.tokensAlone);
    // A token a millisecond: 120 and 350 of them, in whole tiles.
    expect([chunk.tokens, chunk.tokensAlone]).toEqual([64, 320]);
    for (let turn = 0; turn < 20; turn++) chunk.note(chunk.tokensAlone, chunk.tokensAlone / 100);
    expect([chunk.tokens, chunk.tokensAlone]).toEqual([512, 512]);
    for (let turn = 0; turn < 20; turn++) chunk.note(chunk.tokensAlone, chunk.tokensAlone * 99);
    expect([chunk.tokens, chunk.tokensAlone]).toEqual([64, 64]);
  });
});
