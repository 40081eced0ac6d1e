/** The http engine in front of a server that shows no tokens: whether that server is there, and what it cannot be asked. */
import { describe, expect, onTestFinished, test } from "vitest";
import type { Engine, EngineEvent, Said, Task } from "../../../gpu-node/src/engines/engine.ts";
import { readChat } from "../../../gpu-node/src/engines/http/openai.ts";
import { createTextEngine, type TextEngineOptions } from "../../../gpu-node/src/engines/http/text-engine.ts";
import { FREE } from "../../../gpu-node/src/grammar/form.ts";
import { collect } from "../engine-contract.ts";
import { type ScriptedServer, scriptedServer } from "../support/scripted-server.ts";

const never = new AbortController().signal;
const SAID: Said = {
  messages: [{ role: "user", content: "hi" }],
  tools: [],
  form: FREE,
  stops: [],
  thinks: false,
};
const TASK: Task = {
  prompt: [0],
  delivered: [],
  outputTokensMax: 8,
  sampling: { temperature: 1, topP: 1 },
  tag: "t",
  said: SAID,
};

type Opened = { readonly engine: Engine; readonly peer: ScriptedServer; readonly logged: string[] };

async function open(extras: Pick<TextEngineOptions, "extra" | "thinkingExtra"> = {}): Promise<Opened> {
  const peer = await scriptedServer();
  const logged: string[] = [];
  const engine = await createTextEngine({
    ...extras,
    model: "m",
    url: peer.url,
    startWithinMs: 5_000,
    log: (line) => logged.push(line),
  });
  onTestFinished(() => engine.close());
  return { engine, peer, logged };
}

const run = (engine: Engine): Promise<EngineEvent[]> => collect(engine.generate(TASK, never));

describe("a server that fails at a task and is asked whether it is well", () => {
  for (const status of [429, 503])
    test(`is there where it answers ${status}: what runs there goes on`, async ({ expect }) => {
      const { engine, peer, logged } = await open();
      peer.modelsStatus = status;
      peer.answer = () => ({ events: [], status: 500 });
      const before = peer.models;
      // Whoever takes that for an ailment asks three times, and then takes it for lost.
      const asks = async (): Promise<number> => {
        await expect(run(engine)).rejects.toThrow();
        return peer.models - before;
      };
      await expect.poll(asks, { interval: 5, timeout: 5_000 }).toBeGreaterThan(3);
      expect(engine.ready).toBe(true);
      expect(logged.join()).not.toContain("is lost");
    });

  test("is lost where it fails at that, too", async ({ expect }) => {
    const { engine, peer } = await open();
    peer.modelsStatus = 500;
    peer.answer = () => ({ events: [], status: 500 });
    await expect(run(engine)).rejects.toMatchObject({ kind: "failed" });
    await expect.poll(() => engine.ready, { interval: 5, timeout: 5_000 }).toBe(false);
    peer.modelsStatus = 200;
    await expect.poll(() => engine.ready, { interval: 5, timeout: 5_000 }).toBe(true);
  });
});

test("calls that think and calls that do not get the operator's fields, which are below the node's own", async ({
  expect,
}) => {
  const { engine, peer } = await open({
    extra: { chat_template_kwargs: { thinking: false }, stream: false },
    thinkingExtra: { chat_template_kwargs: { thinking: true } },
  });
  peer.answer = () => ({ events: [{ choices: [{ delta: {}, finish_reason: "stop" }] }] });
  for (const thinks of [true, false]) {
    const task = { ...TASK, said: { ...SAID, thinks, thinksBy: "thinking" } };
    expect(engine.lackFor?.(task)).toBeUndefined();
    await collect(engine.generate(task, never));
    expect(peer.asks.at(-1)?.body).toMatchObject({
      stream: true,
      chat_template_kwargs: { thinking: thinks },
    });
  }
});

describe("how a server says that its answer ended", () => {
  test.each([
    ["stop", "stop"],
    ["tool_calls", "stop"],
    ["eos", "stop"],
    ["eos_token", "stop"],
    ["end_turn", "stop"],
    ["content_filter", "stop"],
    ["length", "length"],
    ["max_tokens", "length"],
    ["model_length", "length"],
    ["", undefined],
    [null, undefined],
  ])("%j is %s", (reason, end) => {
    expect(readChat({ choices: [{ delta: {}, finish_reason: reason }] }).end).toBe(end);
  });

  test.each(["abort", "error", "what nobody knows"])("%j is no end of a whole answer", (reason) => {
    expect(() => readChat({ choices: [{ delta: {}, finish_reason: reason }] })).toThrow(reason);
  });
});

test("a call that asks for thinking where the operator named no field for it is refused by its own field", async ({
  expect,
}) => {
  const { engine } = await open({ extra: {} });
  const lack = (thinks: boolean, thinksBy?: string): string | undefined =>
    engine.lackFor?.({ ...TASK, said: { ...SAID, thinks, ...(thinksBy === undefined ? {} : { thinksBy }) } })
      ?.param;
  expect(lack(true, "reasoning_effort")).toBe("reasoning_effort");
  expect(lack(false, "reasoning_effort")).toBeUndefined();
  expect(lack(true)).toBeUndefined();
});
