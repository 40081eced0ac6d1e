/** The isolate's memory of answers stays within its bounds, and one account's flood does not wash out another's few. */
import { expect, test } from "vitest";
import { AnswerMemory, type Kept } from "../../../src/cache/memory.ts";

const name = (account: string, text: string) => ({ account, text });

function kept(bytes: number, expiresAtMs = 1_000): Kept {
  const counts = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 };
  const head = { v: 1, salt: "s", atMs: 0, expiresAtMs, ...counts } as const;
  return { sealed: { head, bytes: new Uint8Array(bytes) }, inKv: false };
}

test("what was put is there until it is too old", () => {
  const memory = new AnswerMemory(100, 10);
  const answer = kept(10);
  memory.put(name("a", "1"), answer);
  expect(memory.get(name("a", "1"), 999)).toBe(answer);
  expect(memory.get(name("b", "1"), 999)).toBeUndefined();
  expect(memory.get(name("a", "1"), 1_000)).toBeUndefined();
  expect(memory.bytes).toBe(0);
});

test("the least recently used goes first, and the bytes never exceed their bound", () => {
  const memory = new AnswerMemory(100, 10);
  for (const text of ["1", "2", "3"]) memory.put(name("a", text), kept(30));
  memory.get(name("a", "1"), 0);
  memory.put(name("a", "4"), kept(30));
  expect(memory.bytes).toBe(90);
  expect(memory.get(name("a", "2"), 0)).toBeUndefined();
  expect(memory.get(name("a", "1"), 0)).toBeDefined();
  memory.put(name("a", "5"), kept(101));
  expect(memory.get(name("a", "5"), 0)).toBeUndefined();
});

test("an account that floods pushes out its own answers", () => {
  const memory = new AnswerMemory(1_000, 1_000);
  for (let i = 0; i < 5; i++) memory.put(name("quiet", String(i)), kept(20));
  for (let i = 0; i < 500; i++) memory.put(name("loud", String(i)), kept(20));
  expect(memory.bytes).toBeLessThanOrEqual(1_000);
  for (let i = 0; i < 5; i++) expect(memory.get(name("quiet", String(i)), 0)).toBeDefined();
  expect(memory.get(name("loud", "499"), 0)).toBeDefined();
});

test("answers are bounded in number too, and the same name takes one place", () => {
  const memory = new AnswerMemory(1_000, 3);
  for (let i = 0; i < 9; i++) memory.put(name("a", String(i % 4)), kept(10));
  expect(memory.bytes).toBe(30);
});
