/** In which order nodes are asked by a request that has a past. */
import { expect, test } from "vitest";
import type { LiveNode } from "../../../src/core/node.ts";
import { BEAT_LATE_MS, inOrder } from "../../../src/dispatch/order.ts";

const NOW_MS = 100_000;
const node = (id: string, beatAgeMs = 1_000): LiveNode => ({ id, beatAtMs: NOW_MS - beatAgeMs }) as LiveNode;
const ids = (nodes: readonly LiveNode[]): string => nodes.map(({ id }) => id).join(" ");

test("a request without a past follows the ranking", () => {
  expect(ids(inOrder([node("b"), node("a"), node("c")], new Map(), 0, NOW_MS))).toBe("b a c");
});

test("a node whose beat is late is asked after all others, and still before none", () => {
  const late = node("late", BEAT_LATE_MS + 1);
  expect(ids(inOrder([late, node("a")], new Map(), 0, NOW_MS))).toBe("a late");
  expect(ids(inOrder([late], new Map(), 0, NOW_MS))).toBe("late");
});

test("an answer in the middle has a second round, after everybody else", () => {
  expect(ids(inOrder([node("a"), node("b"), node("c")], new Map([["a", 0]]), 12, NOW_MS))).toBe("b c a b c");
});

test.each([
  ["that failed before any content is not asked again", 0, 0, "b"],
  ["that failed to continue is not asked again", 12, 12, "b b"],
  ["that brought the answer further is asked again, last", 0, 12, "b a b"],
])("a node %s", (_, failedFrom, broughtTo, order) => {
  expect(ids(inOrder([node("a"), node("b")], new Map([["a", failedFrom]]), broughtTo, NOW_MS))).toBe(order);
});
