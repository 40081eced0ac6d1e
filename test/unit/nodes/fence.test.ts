/** Which beats are believed, and how much of what they promise. */
import { describe, test } from "vitest";
import { BOOT_SILENT_MS, believable, isNewer, isReachable, throughFor } from "../../../src/nodes/fence.ts";
import { commandsFor, stateShown, wishAfter } from "../../../src/nodes/wish.ts";

const NOW = 1_000_000;
const LAST = { boot: "boot_B", seq: 5, beatAtMs: NOW - 1_000 };

describe("a beat is the newest word of its node", () => {
  const CASES = [
    ["when nothing was heard before", undefined, { boot: "boot_A", seq: 0 }, true],
    ["when its number is greater", LAST, { boot: "boot_B", seq: 6 }, true],
    ["but not when it is repeated", LAST, { boot: "boot_B", seq: 5 }, false],
    ["but not when it was overtaken", LAST, { boot: "boot_B", seq: 4 }, false],
    ["when the node has started anew, whatever its number", LAST, { boot: "boot_C", seq: 0 }, true],
    ["but not from the process before the restart", LAST, { boot: "boot_A", seq: 9_999 }, false],
    [
      "from an earlier boot id too, once the later one has fallen silent",
      { ...LAST, beatAtMs: NOW - BOOT_SILENT_MS - 1 },
      { boot: "boot_A", seq: 0 },
      true,
    ],
    [
      "but silence does not bring an overtaken beat of the same boot back",
      { ...LAST, beatAtMs: 0 },
      { boot: "boot_B", seq: 5 },
      false,
    ],
  ] as const;
  test.for(CASES)("%s", ([, last, beat, expected], { expect }) => {
    expect(isNewer(last, beat, NOW)).toBe(expected);
  });
});

describe("what a node promises about its calls", () => {
  const promised = { lastBeatAtMs: 5_000, completeThroughMs: 4_000, journalSinceMs: 1_000 };

  test("is never believed past the edge's own clock", ({ expect }) => {
    expect(believable(NOW + 5, NOW)).toBe(NOW);
    expect(believable(NOW - 5, NOW)).toBe(NOW - 5);
  });

  test("says nothing of calls from before its journal was made", ({ expect }) => {
    expect(throughFor(promised, 1_000)).toBe(4_000);
    expect(throughFor(promised, 999)).toBe(0);
  });

  test("is asked for as long as a snapshot with the node may have been served", ({ expect }) => {
    expect(isReachable(promised, 5_000, 300)).toBe(true);
    expect(isReachable(promised, 5_300, 300)).toBe(true);
    expect(isReachable(promised, 5_301, 300)).toBe(false);
  });
});

describe("what an admin wants of a node", () => {
  const drain = { kind: "drain", deadlineMs: 7 } as const;
  const resume = { kind: "resume" } as const;

  test("is asked again and again until the node's state shows it", ({ expect }) => {
    expect(commandsFor(drain, "ready")).toEqual([{ do: "drain", deadlineMs: 7 }]);
    expect(commandsFor(drain, "draining")).toEqual([]);
    expect(wishAfter(drain, "draining")).toBe(drain);
    expect(commandsFor(resume, "draining")).toEqual([{ do: "resume_service" }]);
    expect(wishAfter(resume, "ready")).toEqual({ kind: "none" });
  });

  test("outlives a restart of the node", ({ expect }) => {
    expect(commandsFor(wishAfter(drain, "draining"), "loading")).toEqual([{ do: "drain", deadlineMs: 7 }]);
  });

  test("takes a node out of routing before it has heard of it", ({ expect }) => {
    expect(stateShown(drain, "ready")).toBe("draining");
    expect(stateShown(resume, "draining")).toBe("draining");
  });

  test("leaves a node alone that drains by itself", ({ expect }) => {
    expect(commandsFor({ kind: "none" }, "draining")).toEqual([]);
  });
});
