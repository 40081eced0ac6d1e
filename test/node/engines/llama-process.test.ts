/** The engine as a process: killed, restarted, and gone when its node is. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, onTestFinished, test } from "vitest";
import type { ChatMessage, Engine } from "../../../gpu-node/src/engines/engine.ts";
import {
  HEALTHY_AFTER_MS,
  RESTART_DELAY_MAX_MS,
  restartDelayMs,
} from "../../../gpu-node/src/engines/llama/backoff.ts";
import type { LlamaEngine } from "../../../gpu-node/src/engines/llama/engine.ts";
import { jinjaRender, pickTemplate } from "../../../gpu-node/src/engines/llama/pick-template.ts";
import { physicalCores } from "../../../gpu-node/src/engines/llama/threads.ts";
import { readVocabulary } from "../../../gpu-node/src/engines/llama/vocabulary.ts";
import { readGgufFile } from "../../../gpu-node/src/weights/gguf-header.ts";
import { collect, textOf, tokensOf } from "../engine-contract.ts";
import { GPU, WEIGHTS_PATH, openLlama } from "./weights-under-test.ts";

const ORPHAN_MAKER = fileURLToPath(new URL("./orphan-maker.ts", import.meta.url));
const never = new AbortController().signal;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function ask(engine: Engine, content: string, outputTokensMax: number): Promise<string> {
  const prompt = await engine.encodeChat({ messages: [{ role: "user", content }], thinking: false });
  const sampling = { temperature: 0, topP: 1 };
  return textOf(
    tokensOf(
      await collect(engine.generate({ prompt, delivered: [], outputTokensMax, sampling, tag: "" }, never)),
    ),
  );
}

describe("llama.cpp's process", () => {
  let engine: LlamaEngine;
  beforeAll(async () => {
    engine = await openLlama({ slots: 2, contextTokens: 1_024 });
  });
  afterAll(() => engine.close());

  test("says what it is", ({ expect }) => {
    expect(engine.info).toMatchObject({
      model: "sluice-tiny",
      slots: 2,
      contextTokens: 1_024,
      backend: GPU === false ? "cpu" : GPU,
    });
    expect(engine.info.weights).toMatch(/^[0-9a-f]{64}$/);
  });

  test("survives texts that overflow llama.cpp's stack when they are tokenised whole", async ({ expect }) => {
    const { pid } = engine;
    for (const text of ["a", " ", "中", "1", "!", "\n", "é"]) {
      const tokens = await engine.encodeChat({
        messages: [{ role: "user", content: text.repeat(100_000) }],
        thinking: false,
      });
      expect(textOf(await engine.decode(tokens))).toHaveLength(100_000);
    }
    expect(engine.pid).toBe(pid);
  });

  test("counts a prompt that cannot fit only until that is clear", async ({ expect }) => {
    const chat = {
      messages: [{ role: "user" as const, content: "words ".repeat(100_000) }],
      thinking: false,
    };
    const whole = await engine.encodeChat(chat);
    const cut = await engine.encodeChat(chat, engine.info.contextTokens);
    expect(cut.length).toBeGreaterThan(engine.info.contextTokens);
    expect(cut.length).toBeLessThan(engine.info.contextTokens + 5_000);
    expect(whole.slice(0, cut.length)).toEqual(cut);
  });

  test("tokenises long texts as it would short ones", async ({ expect }) => {
    const words = "The quick brown fox counts 12 apples, and then 345 more. ";
    const encode = (content: string): Promise<readonly number[]> =>
      engine.encodeChat({ messages: [{ role: "user", content }], thinking: false });
    const [once1, twice] = [await encode(words), await encode(words + words)];
    const perRound = twice.length - once1.length;
    expect((await encode(words.repeat(200))).length).toBe(once1.length + 199 * perRound);
  });

  test("every text is the sum of its tokens' bytes", async ({ expect }) => {
    for (const text of [
      "plain",
      "grüße, 你好 \u{1f600}\n\ttab",
      "\u0000\u001f\u007f\u00a0\u00ad",
      "a  b   c\r\n\r\n",
    ]) {
      const tokens = await engine.encodeChat({ messages: [{ role: "user", content: text }], thinking: true });
      expect(textOf(await engine.decode(tokens))).toBe(text);
    }
  });

  test("while it is gone, new work is refused at once; asked questions fail with it", async ({ expect }) => {
    const asked = engine.encodeChat({
      messages: [{ role: "user", content: "x".repeat(500_000) }],
      thinking: false,
    });
    process.kill(engine.pid ?? 0, "SIGKILL");
    await expect(asked).rejects.toMatchObject({ kind: "engine_died" });
    await expect(ask(engine, "hi", 1)).rejects.toMatchObject({ kind: "engine_died" });
    await expect.poll(() => engine.ready, { timeout: 20_000, interval: 10 }).toBe(true);
    expect(await ask(engine, "hi", 1)).toEqual(expect.any(String));
  });

  test("ends when its parent is killed", async ({ expect }) => {
    const parent = fork(ORPHAN_MAKER, [WEIGHTS_PATH], {
      execArgv: [],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const [pid] = (await once(parent, "message")) as [number];
    expect(isAlive(pid)).toBe(true);
    parent.kill("SIGKILL");
    await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
  });

  test("ends when the engine is closed, and its tasks with it", async ({ expect }) => {
    const other = await openLlama({ slots: 1 });
    const pid = other.pid ?? 0;
    const prompt = await other.encodeChat({
      messages: [{ role: "user", content: "Count from 1 to 90." }],
      thinking: false,
    });
    const sampling = { temperature: 0, topP: 1 };
    const running = collect(
      other.generate({ prompt, delivered: [], outputTokensMax: 900, sampling, tag: "" }, never),
    );
    const failed = expect(running).rejects.toMatchObject({ kind: "engine_died" });
    await other.close();
    await failed;
    expect(isAlive(pid)).toBe(false);
    expect(other.ready).toBe(false);
  });

  test("weights of an architecture nobody knows are refused with its name", async ({ expect }) => {
    const folder = await mkdtemp(join(tmpdir(), "sluice-llama-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const bytes = await readFile(WEIGHTS_PATH);
    // The first is the value of general.architecture; the others begin the names of keys.
    bytes.write("martian99", bytes.indexOf("deepseek2"));
    const weightsPath = join(folder, "m.gguf");
    await writeFile(weightsPath, bytes);
    await expect(openLlama({ slots: 1, weightsPath })).rejects.toMatchObject({
      kind: "bad_model",
      message: expect.stringContaining("martian99") as string,
    });
  });

  test("does not come back with other weights than it had", async ({ expect }) => {
    const folder = await mkdtemp(join(tmpdir(), "sluice-llama-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const weightsPath = join(folder, "m.gguf");
    await copyFile(WEIGHTS_PATH, weightsPath);
    const log: string[] = [];
    const other = await openLlama({ slots: 1, weightsPath, log: (line) => log.push(line) });
    onTestFinished(() => other.close());
    await truncate(weightsPath, readGgufFile(WEIGHTS_PATH).fileBytes - 32);
    process.kill(other.pid ?? 0, "SIGKILL");
    await expect.poll(() => log.join("\n"), { timeout: 10_000 }).toMatch(/weights on disk have changed/);
    expect(other.ready).toBe(false);
  });
});

describe("the bundled model's template", () => {
  const header = readGgufFile(WEIGHTS_PATH);
  const vocabulary = readVocabulary(header);

  test("our own template writes what the file's template writes", ({ expect }) => {
    const render = jinjaRender(vocabulary.template ?? "", vocabulary.bosText, vocabulary.eosText);
    const template = pickTemplate(vocabulary).template;
    const turns: readonly ChatMessage[] = [
      { role: "system", content: "Be brief." },
      { role: "system", content: "Be kind." },
      { role: "user", content: "1 + 1?" },
      { role: "assistant", content: "2" },
      { role: "user", content: "and 2 + 2?" },
    ];
    for (const messages of [turns, turns.slice(1), turns.slice(2), turns.slice(2, 3), turns.slice(4)]) {
      for (const thinking of [true, false]) {
        const segments = template({ messages, thinking });
        expect(segments.map(({ text }) => text).join("")).toBe(render(messages, thinking));
      }
    }
  });
});

describe("small decisions", () => {
  test("a crashed engine is started again at once, then later and later, but never after more than ten seconds", ({
    expect,
  }) => {
    const delays = Array.from({ length: 40 }, (_, i) => restartDelayMs(i + 1));
    expect(delays.slice(0, 4)).toEqual([0, 250, 500, 1_000]);
    expect(Math.max(...delays)).toBe(RESTART_DELAY_MAX_MS);
    expect(HEALTHY_AFTER_MS).toBeGreaterThan(RESTART_DELAY_MAX_MS);
  });

  test("hyper-threads are not cores", ({ expect }) => {
    const thread = (core: number, socket: number): string =>
      `processor : 0\nphysical id\t: ${socket}\ncore id\t\t: ${core}\n`;
    expect(physicalCores([thread(0, 0), thread(0, 0), thread(1, 0), thread(0, 1)].join("\n"))).toBe(3);
    expect(physicalCores("processor : 0\nBogoMIPS : 50\n")).toBeUndefined();
  });
});
