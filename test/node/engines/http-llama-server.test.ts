/** The contract of engines, kept by the http engine in front of a real llama-server. */
import { afterAll, beforeAll, describe, test } from "vitest";
import type { HttpEngineOptions } from "../../../gpu-node/src/engines/http/engine.ts";
import { createHttpEngine } from "../../../gpu-node/src/engines/http/engine.ts";
import { createTextEngine } from "../../../gpu-node/src/engines/http/text-engine.ts";
import type { Engine, Task } from "../../../gpu-node/src/engines/engine.ts";
import { findLlamaServer } from "../../../tools/llama-server.ts";
import { describeWhatCallsAsk } from "../engine-contract-asks.ts";
import { collect, describeEngineContract, textOf, tokensOf } from "../engine-contract.ts";
import { type RunningServer, runLlamaServer } from "../support/llama-server.ts";
import { WEIGHTS_PATH, openLlama } from "./weights-under-test.ts";

const found = findLlamaServer();
const SLOTS = 4;
const CONTEXT_TOKENS = 1_024;
const never = new AbortController().signal;

const optionsFor = (server: RunningServer): HttpEngineOptions => ({
  model: "sluice-tiny",
  server: "llama-server",
  url: server.url,
  weightsPath: WEIGHTS_PATH,
  reuseInSlots: true,
  startWithinMs: 30_000,
});

if ("missing" in found) {
  test.skip(`the http engine in front of a real llama-server: ${found.missing}`, () => undefined);
} else {
  let server: RunningServer;
  beforeAll(async () => {
    server = await runLlamaServer(found.path, { slots: SLOTS, contextTokens: CONTEXT_TOKENS });
  });
  afterAll(() => server.stop());

  describeEngineContract("http (llama-server)", async () => ({
    engine: await createHttpEngine(optionsFor(server)),
    longQuestion: "Count from 1 to 90.",
    shortQuestion: "What is 2 + 3?",
    deadlyQuestion: "Count from 1 to 90.",
    kill: () => server.kill(),
  }));

  describeWhatCallsAsk("http (llama-server)", () => createHttpEngine(optionsFor(server)));

  describe("a fronted llama-server", () => {
    const taskFor = async (engine: Engine, content: string): Promise<Task> => ({
      prompt: await engine.encodeChat({ messages: [{ role: "user", content }], thinking: false }),
      delivered: [],
      outputTokensMax: 40,
      sampling: { temperature: 0, topP: 1 },
      tag: "a",
    });

    test("is one with the embedded engine: the same weights, prompts and text", async ({ expect }) => {
      const [remote, embedded] = [await createHttpEngine(optionsFor(server)), await openLlama({ slots: 1 })];
      try {
        expect(remote.info.weights).toBe(embedded.info.weights);
        expect(new Set(remote.info.endTokens)).toEqual(new Set(embedded.info.endTokens));
        const question = "What is 17 + 25, grüße 你好?";
        const task = await taskFor(remote, question);
        expect(task.prompt).toEqual((await taskFor(embedded, question)).prompt);
        const [theirs, ours] = [
          tokensOf(await collect(remote.generate(task, never))),
          tokensOf(await collect(embedded.generate(task, never))),
        ];
        expect(textOf(theirs)).toBe(textOf(ours));
        expect(theirs.map(({ id }) => id)).toEqual(ours.map(({ id }) => id));
      } finally {
        await remote.close();
        await embedded.close();
      }
    });

    test("that fails at one task is not lost with it", async ({ expect }) => {
      const engine = await createHttpEngine(optionsFor(server));
      const neighbour = collect(engine.generate(await taskFor(engine, "Count from 1 to 90."), never));
      // A token of the vocabulary that stands for nothing: this server gives up where a grammar leaves nothing else.
      const task = { ...(await taskFor(engine, "hi")), grammar: { gbnf: "root ::= <[700]>" }, tag: "b" };
      await expect(collect(engine.generate(task, never))).rejects.toMatchObject({ kind: "failed" });
      expect(engine.ready).toBe(true);
      expect((await neighbour).at(-1)?.kind).toBe("end");
      await engine.close();
    });

    test("as any server of OpenAI's chat gives text, and says itself what it counted", async ({ expect }) => {
      const engine = await createTextEngine({
        model: "sluice-tiny",
        url: server.url,
        contextTokens: CONTEXT_TOKENS,
        startWithinMs: 30_000,
      });
      const messages = [{ role: "user", content: "What is 2 + 3?" }] as const;
      const task: Task = {
        prompt: await engine.encodeChat({ messages, thinking: false }),
        delivered: [],
        outputTokensMax: 200,
        sampling: { temperature: 0, topP: 1 },
        tag: "a",
        said: {
          messages,
          tools: [],
          form: { format: { kind: "text" }, tools: [], call: "may", parallel: true },
          stops: [],
          thinks: false,
        },
      };
      const events = await collect(engine.generate(task, never));
      const counted = events.findLast((event) => event.kind === "counted");
      expect(textOf(tokensOf(events))).toContain("5");
      expect(events.at(-1)).toEqual({ kind: "end", why: "stop" });
      expect(counted?.told?.prompt).toBeGreaterThan(5);
      expect(counted?.told?.positions).toBeGreaterThan(1);
      await engine.close();
    });

    test("without the operator's word reuses nothing at all", async ({ expect }) => {
      const engine = await createHttpEngine({ ...optionsFor(server), reuseInSlots: false });
      const task = await taskFor(engine, "Count from 1 to 90.");
      await collect(engine.generate(task, never));
      expect((await collect(engine.generate(task, never)))[0]).toEqual({ kind: "started", cached: 0 });
      await engine.close();
    });
  });
}
