/** What a client has, as token ids: exactly the ids of the events it was sent, or nothing at all. */
import { printNote } from "@sluice/protocol/events";
import { expect, test } from "vitest";
import { startDelivered } from "../../../src/relay/delivered.ts";

const event = (to: number, ids: readonly number[]): string =>
  `${printNote({ to, ids })}data: {"n":${to}}\n\n`;

test("the ids of what was sent are there, in order", () => {
  const delivered = startDelivered();
  delivered.add(event(2, [7, 8]) + event(3, [9]));
  delivered.add(`: keep-alive\n\n${event(4, [1])}`);
  expect(delivered.tokens(4)).toEqual([7, 8, 9, 1]);
});

test("ids that do not add up to the positions are no ground to continue from", () => {
  const delivered = startDelivered();
  delivered.add(event(2, [7, 8]));
  expect(delivered.tokens(3)).toBeUndefined();
});

test("nothing sent is nothing to continue, and that is known too", () => {
  expect(startDelivered().tokens(0)).toEqual([]);
});

test("a long answer is remembered whole", () => {
  const delivered = startDelivered();
  const count = 5_000;
  for (let i = 0; i < count; i++) delivered.add(event(i + 1, [i]));
  expect(delivered.tokens(count)).toEqual(Array.from({ length: count }, (_, i) => i));
});

test("a client's own text is never taken for ids", () => {
  const delivered = startDelivered();
  delivered.add(`${printNote({ to: 1, ids: [5] })}data: {"content":": sluice to=9 ids=1,2,3"}\n\n`);
  expect(delivered.tokens(1)).toEqual([5]);
});
