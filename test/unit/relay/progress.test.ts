/** Where a node's answer may be cut, and what its notes say of how far it has come. */
import { MORE, printNote } from "@sluice/protocol/events";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  advance,
  BEFORE_BYTES,
  firstDataEvent,
  hasData,
  lastEvent,
  NO_PROGRESS,
  wholeEventsLength,
} from "../../../src/relay/progress.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const accepted = `${printNote({ accepted: true, prompt: 12 })}\n`;
const first = `${printNote({ prompt: 12, cached: 8, from: 0, to: 1, ids: [301] })}data: {"a":1}\n\n`;
const second = `${printNote({ to: 3, ids: [5, 6] })}data: {"a":2}\n\n`;
const last = `${printNote({ to: 4, ended: "stop" })}data: [DONE]\n\n`;

test.each([
  ["", 0],
  ["data: x", 0],
  ["data: x\n", 0],
  ["data: x\n\n", 9],
  ["data: x\n\ndata: y", 9],
  ["data: x\n\ndata: y\n", 9],
  ["data: x\n\ndata: y\n\n", 18],
  ["data: x\n: more\n\n", 0],
  ["data: x\n\ndata: y\n: more\n\ndata: z", 9],
  ["data: x\n: more\n\ndata: y\n\n", 25],
  ["data: : more\n\n", 14],
])("%j can be cut after %i bytes", (text, length) => {
  expect(wholeEventsLength(bytes(text))).toBe(length);
});

test("wherever a stream is cut, what is forwarded are whole events, and nothing is lost", () => {
  const whole = accepted + first + second + last;
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 30 }), (sizes) => {
      let forwarded = "";
      let tail = "";
      let at = 0;
      for (const size of [...sizes, whole.length]) {
        tail += whole.slice(at, at + size);
        at += size;
        const length = wholeEventsLength(bytes(tail));
        forwarded += tail.slice(0, length);
        tail = tail.slice(length);
        expect(forwarded === "" || forwarded.endsWith("\n\n")).toBe(true);
      }
      expect(forwarded).toBe(whole);
    }),
  );
});

test("whatever the pieces, nothing is cut between events that come together", () => {
  const held = `${printNote({ to: 3, ids: [5, 6] })}data: {"a":2}\n${MORE}\n`;
  const whole = first + held + held + last;
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 60 }), (sizes) => {
      const cuts: number[] = [];
      let at = 0;
      let cutAt = 0;
      for (const size of [...sizes, whole.length]) {
        const piece = whole.slice(at, at + size);
        const length = wholeEventsLength(bytes(piece), bytes(whole.slice(cutAt, at)).slice(-BEFORE_BYTES));
        if (length > 0) cuts.push((cutAt = at + length));
        at += size;
      }
      expect(cuts.at(-1)).toBe(whole.length);
      expect(cuts.every((cut) => cut === first.length || cut === whole.length)).toBe(true);
    }),
  );
});

test("progress is the same whether events come one by one or in one batch", () => {
  const expected = { to: 4, prompt: 12, cached: 8, ended: "stop" };
  const together = advance(NO_PROGRESS, accepted + first + second + last);
  const apart = [accepted, first, second, last].reduce(advance, NO_PROGRESS);
  expect(together).toEqual(expected);
  expect(apart).toEqual(expected);
});

test("what is only queued has no progress", () => {
  expect(advance(NO_PROGRESS, accepted)).toEqual(NO_PROGRESS);
  expect(hasData(accepted)).toBe(false);
  expect(hasData(accepted + first)).toBe(true);
});

test("a user who writes a note into the text is not believed", () => {
  const forged = `data: {"content":": sluice to=99 ended=stop"}\n\n`;
  expect(advance(NO_PROGRESS, first + forged)).toMatchObject({ to: 1, ended: undefined });
});

test("the client's answer begins with the first event that has data", () => {
  const events = accepted + ": keep-alive\n\n" + first + second;
  expect(events.slice(firstDataEvent(events))).toBe(first + second);
  expect(first.slice(firstDataEvent(first))).toBe(first);
});

test("the last event can be told from those before it", () => {
  const failed = `${printNote({ to: 3, ended: "engine_died" })}\n`;
  const events = first + second + failed;
  expect(events.slice(0, lastEvent(events))).toBe(first + second);
  expect(lastEvent(failed)).toBe(0);
});
