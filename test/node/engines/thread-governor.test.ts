/** How many threads a turn gets, while the machine changes under it. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { ChunkSize, settle, threadsToTry } from "../../../gpu-node/src/engines/llama/calibrate.ts";
import { parseCpuTimes, SpareCores, type CpuTimes } from "../../../gpu-node/src/engines/llama/spare-cores.ts";
import { type Kind, sizeClass } from "../../../gpu-node/src/engines/llama/size-class.ts";
import { ThreadGovernor } from "../../../gpu-node/src/engines/llama/thread-governor.ts";

type Machine = (threads: number, kind: Kind, tokens: number) => number;
type Turn = readonly [kind: Kind, tokens: number];

/** By so many threads a token takes so long, whatever the turn. */
const perToken =
  (msBy: Readonly<Record<number, number>>): Machine =>
  (threads, _kind, tokens) =>
    tokens * (msBy[threads] ?? Number.NaN);

/** The threads that each turn used. */
function live(governor: ThreadGovernor, turns: readonly Turn[], machine: Machine): readonly number[] {
  return turns.map(([kind, tokens]) => {
    const threads = governor.threads(kind, tokens);
    governor.note(kind, tokens, machine(threads, kind, tokens));
    return threads;
  });
}

const decodes = (turns: number, tokens = 8): readonly Turn[] =>
  Array.from({ length: turns }, () => ["decode", tokens] as const);
const prompts = (sizes: readonly number[]): readonly Turn[] =>
  sizes.map((tokens) => ["prompt", tokens] as const);
const count = (used: readonly number[], threads: number): number =>
  used.filter((number) => number === threads).length;
const ONE = { prompt: 1, decode: 1 };
const TWO = { prompt: 2, decode: 2 };

/** Each property is one of a number alone: what is drawn from it is too long to be made smaller. */
const seeds = fc.integer({ min: 1, max: 2 ** 31 - 2 });
function drawFrom(seed: number): (from: number, to: number) => number {
  let state = seed;
  return (from, to) => {
    state = (state * 48_271) % 2_147_483_647;
    return from + (state % (to - from + 1));
  };
}

/** Prompts as they are read: chunks that follow the speed, and now and then what is left at the end of one. */
function chunks(seed: number): readonly Turn[] {
  const draw = drawFrom(seed);
  return Array.from(
    { length: 60 },
    () => ["prompt", draw(0, 4) === 0 ? draw(2, 511) : 64 * draw(1, 8)] as const,
  );
}

/** Streams that come and go. */
function streams(seed: number): readonly Turn[] {
  const draw = drawFrom(seed);
  return Array.from({ length: 20 }, () => decodes(draw(20, 60), draw(1, 32))).flat();
}

/** No two turns take equally long. */
function noisy(seed: number, machine: Machine): Machine {
  const draw = drawFrom(seed);
  return (...of) => machine(...of) * (draw(970, 1_030) / 1_000);
}

describe("threads at run time", () => {
  test("a second thread that doubles the speed is found within a prompt's first turns", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2], ONE);
    const sizes = [64, 128, 128, 192, 192, 192, 192, 192, 192, 192, 137];
    const used = live(governor, prompts(sizes), perToken({ 1: 4, 2: 2 }));
    expect(used.slice(6)).toEqual([2, 2, 2, 2, 2]);
  });

  test("whatever the sizes of its chunks, a prompt or two are enough", ({ expect }) => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const governor = new ThreadGovernor([1, 2], ONE);
        // Chunks below a tile cost more a token.
        const machine: Machine = (threads, _kind, tokens) => (tokens * (tokens < 64 ? 10 : 4)) / threads;
        const used = live(governor, chunks(seed), noisy(seed, machine));
        expect(count(used.slice(0, 40), 2)).toBeGreaterThan(20);
        expect(count(used.slice(40), 2)).toBeGreaterThan(15);
      }),
    );
  });

  test("streams that come and go find it too", ({ expect }) => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const governor = new ThreadGovernor([1, 2], ONE);
        // A turn of more streams takes longer, and less a stream.
        const machine: Machine = (threads, _kind, tokens) => (3 + tokens) / threads;
        const used = live(governor, streams(seed), noisy(seed, machine));
        expect(count(used, 2)).toBeGreaterThan(used.length * 0.9);
      }),
    );
  });

  test("where a second thread is thirty times slower, a turn with it is alone, and they become rare", ({
    expect,
  }) => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const governor = new ThreadGovernor([1, 2], ONE);
        const turns = [...chunks(seed), ...streams(seed)];
        const machine = noisy(seed, perToken({ 1: 1, 2: 30 }));
        const used = [1, 2, 3, 4].flatMap(() => live(governor, turns, machine));
        expect(used.some((threads, at) => threads === 2 && used[at + 1] === 2)).toBe(false);
        expect(count(used.slice(0, turns.length), 2)).toBeLessThan(5);
        expect(count(used, 2)).toBeLessThan(9);
      }),
    );
  });

  test("a machine that becomes crowded is noticed within two turns, by prompts and answers alike", ({
    expect,
  }) => {
    const governor = new ThreadGovernor([1, 2], TWO);
    const quiet = perToken({ 1: 2, 2: 1.2 });
    live(governor, [...prompts([128, 256, 128]), ...decodes(200), ...decodes(50, 1)], quiet);
    expect([governor.threads("prompt", 128), governor.threads("decode", 8)]).toEqual([2, 2]);
    const crowded: Machine = (threads, _kind, tokens) => (threads === 1 ? 2 * tokens : 700);
    expect(count(live(governor, decodes(40), crowded), 2)).toBeLessThan(2);
    for (const [kind, tokens] of [["prompt", 128], ["prompt", 30], ["decode", 1], ["decode", 32]] as const)
      expect(governor.threads(kind, tokens)).toBe(1); // prettier-ignore
  });

  test("whatever came before, a machine that changes is followed in either direction", ({ expect }) => {
    fc.assert(
      fc.property(seeds, fc.boolean(), (seed, better) => {
        const governor = new ThreadGovernor([1, 2], ONE);
        const good = noisy(seed, perToken({ 1: 2, 2: 1 }));
        const bad = noisy(seed, perToken({ 1: 2, 2: 60 }));
        const [before, after] = [streams(seed), streams(seed + 1)];
        live(governor, before, better ? bad : good);
        // What the last trial has cost is made good before the next.
        if (better) for (let i = 0; i < 5; i++) live(governor, after, good);
        const used = live(governor, after, better ? good : bad);
        expect(count(used, better ? 2 : 1)).toBeGreaterThan(used.length * 0.9);
      }),
    );
  });

  test("a late turn alone changes nothing", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2], TWO);
    const machine = perToken({ 1: 10, 2: 6 });
    live(governor, decodes(300), machine);
    governor.note("decode", 8, 150);
    expect(count(live(governor, decodes(10), machine), 2)).toBe(10);
  });

  test("a little faster is not worth a core", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2], ONE);
    live(governor, decodes(1_000), perToken({ 1: 10, 2: 9.5 }));
    expect(governor.threads("decode", 8)).toBe(1);
  });

  test("each size has its own number", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2], ONE);
    const machine: Machine = (threads, _kind, tokens) => (threads === 1 ? 1 + tokens : 5 + tokens / 2);
    for (let i = 0; i < 50; i++) live(governor, [...decodes(40, 1), ...decodes(40, 32)], machine);
    expect([governor.threads("decode", 1), governor.threads("decode", 32)]).toEqual([1, 2]);
  });

  test("a machine without an idle core is never tried with more threads, and may give one back", ({
    expect,
  }) => {
    const machine = perToken({ 1: 10, 2: 300 });
    const busy = new ThreadGovernor([1, 2], ONE, () => false);
    expect(new Set(live(busy, decodes(5_000), machine))).toEqual(new Set([1]));
    const crowded = new ThreadGovernor([1, 2, 4], TWO, () => false);
    live(crowded, decodes(100), perToken({ 1: 10, 2: 20, 4: 300 }));
    expect(crowded.threads("decode", 8)).toBe(1);
  });

  test("cores that come free are used at once, however long nothing could be tried", ({ expect }) => {
    let idle = false;
    const governor = new ThreadGovernor([1, 2], ONE, () => idle);
    const machine = perToken({ 1: 10, 2: 6 });
    live(governor, decodes(5_000), machine);
    expect(governor.threads("decode", 8)).toBe(1);
    idle = true;
    live(governor, decodes(5), machine);
    expect(governor.threads("decode", 8)).toBe(2);
  });

  test("with many cores it climbs to the number that is fastest, and no further", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2, 4, 8, 16], ONE);
    const ms = { 1: 16, 2: 8.5, 4: 5, 8: 3.5, 16: 5 };
    live(governor, decodes(500), perToken(ms));
    expect(governor.threads("decode", 8)).toBe(8);
  });

  test("turns of different sizes are not compared", ({ expect }) => {
    const governor = new ThreadGovernor([1, 2], ONE);
    const turns = Array.from({ length: 1_000 }, (_, turn) => ["decode", 1 << (turn % 6)] as const);
    // A second thread does nothing; sizes differ by far.
    const used = live(governor, turns, (_threads, _kind, tokens) => 100 / tokens);
    expect(count(used.slice(-300), 2)).toBeLessThan(30);
  });
});

describe("sizes that can be compared", () => {
  test("narrow for answers and short chunks, an octave for whole tiles", ({ expect }) => {
    expect([1, 2, 3, 4, 5, 6].map((tokens) => sizeClass("decode", tokens))).toEqual([0, 4, 6, 8, 9, 10]);
    expect([64, 127, 128, 255, 256, 511, 512].map((tokens) => sizeClass("prompt", tokens))).toEqual([
      25, 25, 26, 26, 27, 27, 28,
    ]);
    expect(sizeClass("prompt", 63)).toBeLessThan(25);
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
