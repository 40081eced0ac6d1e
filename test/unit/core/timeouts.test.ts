/** Which of the limits on a node runs out first, and what an operator can make of them. */
import { expect, test } from "vitest";
import { overrun, parseTimeouts, TIMEOUTS, type Waited } from "../../../src/core/timeouts.ts";

const called: Waited = {
  enteredAtMs: 0,
  calledAtMs: 0,
  heardAtMs: 0,
  bodyBytes: 0,
  promptTokens: 0,
  quiet: false,
};
const taken: Waited = { ...called, takenAtMs: 0 };
const moved: Waited = { ...taken, movedAtMs: 0 };

test.each<[string, Waited, number, string | undefined]>([
  ["a call that is not taken", called, 3_001, "connect"],
  ["a call that may still be taken", called, 3_000, undefined],
  ["a large call has longer", { ...called, bodyBytes: 1_048_576 }, 5_000, undefined],
  ["...but not for ever", { ...called, bodyBytes: 1_048_576 }, 5_100, "connect"],
  ["a node that fell silent before its first token", taken, 3_001, "silence"],
  ["a node that fell silent in the middle", moved, 3_001, "silence"],
  ["a node that lives and has no token", { ...taken, heardAtMs: 60_000 }, 60_001, "first_token"],
  ["a long prompt has longer", { ...taken, heardAtMs: 60_001, promptTokens: 100 }, 62_000, undefined],
  ["...but not for ever", { ...taken, heardAtMs: 62_000, promptTokens: 100 }, 62_001, "first_token"],
  ["a node that lives and makes no further token", { ...moved, heardAtMs: 10_000 }, 10_001, "between_tokens"],
  ["a node that makes tokens", { ...moved, heardAtMs: 10_000, movedAtMs: 9_000 }, 10_001, undefined],
  ["an upstream that says nothing may still be at work", { ...taken, quiet: true }, 60_000, undefined],
  ["...until its first token is overdue", { ...taken, quiet: true }, 60_001, "first_token"],
  [
    "a request that has had its time",
    { ...moved, heardAtMs: 2_100_000, movedAtMs: 2_100_000 },
    2_100_001,
    "total",
  ],
])("%s", (_, waited, nowMs, limit) => {
  expect(overrun(TIMEOUTS, waited, nowMs)).toBe(limit);
});

test("an operator changes what is named, and the rest stays", () => {
  expect(parseTimeouts('{"silenceMs":9000}')).toEqual({ ...TIMEOUTS, silenceMs: 9_000 });
  expect(parseTimeouts(undefined)).toBe(TIMEOUTS);
});

test.each(["{", "[]", '{"silence":1}', '{"silenceMs":0}', '{"totalMs":"1"}', '{"connectMs":null}'])(
  "what cannot be read is refused: %s",
  (text) => {
    expect(() => parseTimeouts(text)).toThrow(/SLUICE_TIMEOUTS/);
  },
);
