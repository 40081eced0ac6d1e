/** Whether a model fits is known before it is loaded, and said with the figures. */
import { statSync } from "node:fs";
import { describe, onTestFinished, test } from "vitest";
import { freeRamBytes, shortage } from "../../../gpu-node/src/engines/llama/free-memory.ts";
import { openLlama, WEIGHTS_PATH } from "./weights-under-test.ts";

const GIB = 2 ** 30;
const NONE = { ramBytes: 0, vramBytes: 0 };

describe("what a model needs and what there is", () => {
  const need = {
    weights: { ramBytes: 3 * GIB, vramBytes: 0 },
    contexts: { ramBytes: 1.5 * GIB, vramBytes: 0 },
    spareBytes: 0.5 * GIB,
  };

  test("fits to the byte, or is refused with all figures and what to do", ({ expect }) => {
    expect(shortage(need, { ramBytes: 5 * GIB, vramBytes: undefined })).toBeUndefined();
    expect(shortage(need, { ramBytes: 5 * GIB - 1, vramBytes: undefined })).toBe(
      "it needs 5.0 GiB of memory (weights 3.0 GiB, contexts and buffers 2.0 GiB), and 5.0 GiB are free. " +
        "Fewer --slots or a smaller --context need less",
    );
  });

  test("is looked at for the GPU by itself, and not at all where nobody says what is free", ({ expect }) => {
    const onGpu = { weights: { ramBytes: 0, vramBytes: 8 * GIB }, contexts: NONE, spareBytes: 0 };
    expect(shortage(onGpu, { ramBytes: 64 * GIB, vramBytes: 6 * GIB })).toMatch(
      /8.0 GiB of GPU memory .* 6.0 GiB are/,
    );
    expect(shortage(need, { ramBytes: undefined, vramBytes: undefined })).toBeUndefined();
  });

  for (const [what, group, bytes] of [
    ["the machine's memory", undefined, 4_000 * 1_024],
    ["what its cgroup leaves, with pages of files given back", ["3000000", "2500000"], 1_400_000],
    ["the machine's, in a cgroup without a limit", ["max", "2500000"], 4_000 * 1_024],
    ["nothing, in a cgroup that is over its limit", ["1000000", "2500000"], 0],
  ] as const)
    test(`free is ${what}`, ({ expect }) => {
      const files: Record<string, string | undefined> = {
        "/proc/meminfo": "MemTotal:  9000 kB\nMemAvailable:   4000 kB\n",
        "/proc/self/cgroup": group === undefined ? undefined : "0::/box\n",
        "/sys/fs/cgroup/box/memory.max": group?.[0],
        "/sys/fs/cgroup/box/memory.current": group?.[1],
        "/sys/fs/cgroup/box/memory.stat": "anon 1\ninactive_file 500000\nactive_file 400000\n",
      };
      expect(freeRamBytes((path) => files[path])).toBe(bytes);
    });
});

describe("llama.cpp's process", () => {
  test("loads nothing of a model that would not fit beside what is mapped already", async ({ expect }) => {
    await expect(openLlama({ occupiedBytes: () => Number.MAX_SAFE_INTEGER })).rejects.toMatchObject({
      kind: "no_memory",
      message: expect.stringMatching(
        /does not fit: it needs \d+ MiB of memory \(weights \d+ MiB, .*, and 0 MiB are free/,
      ),
    });
  });

  test("says how much of its weights is mapped, for those that come after it", async ({ expect, skip }) => {
    skip(process.platform !== "linux", "only Linux says it");
    const engine = await openLlama({ slots: 1, contextTokens: 256, occupiedBytes: () => 0 });
    onTestFinished(() => engine.close());
    expect(engine.mappedBytes?.()).toBeGreaterThan(statSync(WEIGHTS_PATH).size);
  });
});
