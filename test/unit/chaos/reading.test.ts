/** What chaos reads with: a client that believes nothing, and a search for planted text. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { planLedger } from "../../../chaos/ledger/plan.ts";
import { findPlanted } from "../../../chaos/support/planted.ts";
import { countWords, hear } from "../../../chaos/support/sse.ts";
import { Dice } from "../../../tools/train/corpus/dice.ts";

const WORDS: readonly [string, number | undefined][] = [
  ["", 0],
  ["0 1 2 ", 3],
  ["0 1 1 ", undefined],
  ["0 2 ", undefined],
  ["1 2 ", undefined],
  ["0 1", undefined],
];

test.each(WORDS)("the words of %j are %s", (text, count) => {
  expect(countWords(text)).toBe(count);
});

describe("a stream", () => {
  const event = (delta: object, finish: string | null = null): string =>
    `: sluice to=9\ndata: ${JSON.stringify({ choices: [{ delta, finish_reason: finish }] })}\n\n`;

  test("is what its whole events say, and its comments say nothing", () => {
    const text = `: keep-alive\n\n${event({ content: "0 " })}${event({ content: "1 " }, "stop")}data: [DONE]\n\n`;
    expect(hear(text)).toMatchObject({ content: "0 1 ", finish: "stop", done: true, failed: false });
  });

  test("that is cut in an event has not said that event", () => {
    const text = `${event({ content: "0 " })}${event({ content: "1 " }).slice(0, -1)}`;
    expect(hear(text)).toMatchObject({ content: "0 ", done: false });
  });

  test("may end its lines either way", () => {
    const crlf = event({ content: "0 " }, "stop").replaceAll("\n", "\r\n");
    expect(hear(`${crlf}data: [DONE]\n\n`)).toMatchObject({ content: "0 ", finish: "stop", done: true });
  });

  test("that ends with an error has failed", () => {
    expect(hear(`${event({ content: "0 " })}data: {"error":{"message":"x"}}\n\n`).failed).toBe(true);
  });
});

test("planted text is found in any file, however deep, and not in those that hold it by design", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-planted-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "a/b"), { recursive: true });
  writeFileSync(
    join(folder, "a/b/db.sqlite-wal"),
    Buffer.concat([Buffer.alloc(4_096, 7), Buffer.from("key-1")]),
  );
  writeFileSync(join(folder, "secrets.json"), "key-1");
  writeFileSync(join(folder, "log"), "nothing");
  expect(findPlanted(folder, { key: "key-1", prompt: "prompt-1" }, ["secrets.json"])).toEqual([
    { file: "a/b/db.sqlite-wal", name: "key" },
  ]);
});

test("a plan is made of as many requests as were asked for, all kinds among them, and the same by the same dice", () => {
  const plan = planLedger(new Dice(7), 2_000);
  expect(plan.map(({ nr }) => nr)).toEqual(Array.from({ length: 2_000 }, (_, nr) => nr));
  expect(new Set(plan.map(({ kind }) => kind)).size).toBe(14);
  expect(planLedger(new Dice(7), 2_000)).toEqual(plan);
});
