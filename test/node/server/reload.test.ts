/**
 * The real process with two real models, told by SIGHUP that the operator has changed something: files put in the place of
 * others, and settings in the list.
 */
import { spawn } from "node:child_process";
import { appendFileSync, copyFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { expect, onTestFinished, test } from "vitest";
import { WEIGHTS_PATH } from "../engines/weights-under-test.ts";
import { tempFolder } from "./support/node.ts";

type Health = {
  readonly state: string;
  readonly models: readonly { readonly id: string; readonly state: string; readonly weights: string }[];
  readonly failures: Readonly<Record<string, string>>;
};

/** A node alone, on the list of models at `list`. */
async function startAlone(list: string) {
  const args = ["--insecure-standalone", "--port", "0", "--gpu", "cpu", "--threads", "1", "--models", list];
  const child = spawn(process.execPath, ["gpu-node/src/main.ts", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  child.stdout.on("data", (data) => (said += String(data)));
  const linesOf = (event: string): readonly Record<string, unknown>[] =>
    said
      .split("\n")
      .filter((line) => line.includes(`"event":"${event}"`))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const until = (holds: () => boolean): Promise<void> =>
    expect.poll(holds, { timeout: 20_000, interval: 20 }).toBe(true);
  await until(() => linesOf("engine_ready").length === 2);
  const url = String(linesOf("listening")[0]?.["url"]);
  const health = async (): Promise<Health> => (await (await fetch(`${url}/health`)).json()) as Health;
  const reload = async (isOver: () => boolean): Promise<void> => {
    child.kill("SIGHUP");
    await until(isOver);
  };
  return { url, health, reload, linesOf };
}

test("SIGHUP serves what is new, keeps what is bad away from streams, and breaks none", async () => {
  const folder = tempFolder();
  const [a, b, list] = ["a.gguf", "b.gguf", "models.json"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [a, b]) copyFileSync(WEIGHTS_PATH, path);
  // Other weights, to whoever digests the file.
  appendFileSync(b, new Uint8Array(32));
  const wanted = (slots: number): string =>
    JSON.stringify([
      { id: "a", model: a, slots: 2, context: 512 },
      { id: "b", model: b, slots, context: 512 },
    ]);
  writeFileSync(list, wanted(2));
  const { url, health, reload, linesOf } = await startAlone(list);
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
  const before = await health();
  expect(before.models.map(({ id, state }) => `${id} ${state}`)).toEqual(["a ready", "b ready"]);
  expect(before.models[0]?.weights).not.toBe(before.models[1]?.weights);

  const stream = await openai.chat.completions.create({
    model: "a",
    stream: true,
    temperature: 0,
    messages: [{ role: "user", content: "Count from 1 to 60." }],
  });
  const chunks = stream[Symbol.asyncIterator]();
  await chunks.next();

  // A file that is cut off, in the place of the good one; and the other's slots, changed in the list.
  writeFileSync(`${a}.new`, "GGUF");
  renameSync(`${a}.new`, a);
  writeFileSync(list, wanted(4));
  await reload(() => linesOf("model_refused").length === 1 && linesOf("engine_ready").length === 3);
  expect((await health()).failures["a"]).toContain("a.gguf cannot be served");
  expect(linesOf("engine_ready").at(-1)).toMatchObject({
    model: "b",
    slots: 4,
    weights: before.models[1]?.weights,
  });

  // A good one again, with other weights.
  copyFileSync(b, `${a}.new`);
  appendFileSync(`${a}.new`, new Uint8Array(32));
  renameSync(`${a}.new`, a);
  await reload(() => linesOf("engine_ready").length === 4);
  const after = await health();
  expect(after.failures).toEqual({});
  expect(after.models.find(({ id }) => id === "a")?.weights).not.toBe(before.models[0]?.weights);

  // What ran all the while has its end.
  let finish: string | null | undefined;
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next())
    finish = next.value.choices[0]?.finish_reason ?? finish;
  expect(finish).toMatch(/stop|length/);
  const answer = await openai.chat.completions.create({
    model: "a",
    temperature: 0,
    max_tokens: 8,
    messages: [{ role: "user", content: "1 + 1?" }],
  });
  expect(answer.choices).toHaveLength(1);
}, 60_000);
