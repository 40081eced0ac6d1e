/**
 * What the http engine asks of vLLM and SGLang for what a call asks, and what it makes of their answers. No such server can
 * run here: the peer speaks the wire their sources and documentation describe (vllm/entrypoints/openai/completion, SGLang's
 * "Sampling Parameters" and "Native APIs"); test/node/engine-contract-asks.ts asks a real llama-server the same.
 */
import { describe, onTestFinished, test } from "vitest";
import type { Engine, EngineEvent, Sampling, Task } from "../../../gpu-node/src/engines/engine.ts";
import { createHttpEngine, type ServerName } from "../../../gpu-node/src/engines/http/engine.ts";
import { judge } from "../../../gpu-node/src/engines/http/faults.ts";
import { seedFor } from "../../../gpu-node/src/engines/http/seed.ts";
import { LateAnswer, WireError } from "../../../gpu-node/src/engines/http/wire.ts";
import { collect, tokensOf } from "../engine-contract.ts";
import { modelFolder, type ScriptedServer, scriptedServer } from "../support/scripted-server.ts";

const never = new AbortController().signal;
const [END, THINK_CLOSE] = [1, 1_014];
const GRAMMAR = 'root ::= "{" <[1000]>? [a-z]{1,2} "}"';

type Opened = { readonly engine: Engine; readonly peer: ScriptedServer; readonly logged: string[] };

async function open(
  server: ServerName,
  change?: (peer: ScriptedServer) => void,
  startWithinMs = 5_000,
): Promise<Opened> {
  const peer = await scriptedServer();
  change?.(peer);
  const logged: string[] = [];
  const engine = await createHttpEngine({
    model: "m",
    server,
    url: peer.url,
    weightsPath: modelFolder(),
    startWithinMs,
    log: (line) => logged.push(line),
  });
  onTestFinished(() => engine.close());
  return { engine, peer, logged };
}

async function taskFor(engine: Engine, rest: Partial<Task> = {}, thinking = false): Promise<Task> {
  const prompt = await engine.encodeChat({ messages: [{ role: "user", content: "hi" }], thinking });
  return {
    prompt,
    delivered: [],
    outputTokensMax: 8,
    sampling: { temperature: 1, topP: 1 },
    tag: "t",
    ...rest,
  };
}

const run = (engine: Engine, task: Task): Promise<EngineEvent[]> => collect(engine.generate(task, never));
const ids = (events: readonly EngineEvent[]): number[] => tokensOf(events).map(({ id }) => id);
const idOf = async (engine: Engine, text: string): Promise<number> =>
  (await engine.encodeText(text)).at(-1) ?? -1;

type Shape = {
  readonly event: (ids: number[], total: number, end: "stop" | "length" | null) => unknown;
  readonly grammarIn: (body: Record<string, unknown>) => unknown;
  readonly promptIn: (body: Record<string, unknown>) => unknown;
  readonly samplingIn: (body: Record<string, unknown>) => Record<string, unknown>;
};
const SHAPES: Readonly<Record<"vllm" | "sglang", Shape>> = {
  vllm: {
    event: (token_ids, _total, finish_reason) => ({
      choices: [{ index: 0, text: "x", token_ids, finish_reason }],
    }),
    grammarIn: (body) => (body["structured_outputs"] as { grammar?: unknown } | undefined)?.grammar,
    promptIn: (body) => body["prompt"],
    samplingIn: (body) => body,
  },
  sglang: {
    event: (output_ids, completion_tokens, end) => ({
      output_ids,
      meta_info: { completion_tokens, cached_tokens: 0, finish_reason: end === null ? null : { type: end } },
    }),
    grammarIn: (body) => (body["sampling_params"] as { ebnf?: unknown }).ebnf,
    promptIn: (body) => body["input_ids"],
    samplingIn: (body) => body["sampling_params"] as Record<string, unknown>,
  },
};

for (const server of ["vllm", "sglang"] as const) {
  const { event, grammarIn, promptIn, samplingIn } = SHAPES[server];
  describe(`what a call asks of ${server}`, () => {
    test("a form goes along in XGrammar's notation, and marks it does not name are kept out", async ({
      expect,
    }) => {
      const { engine, peer } = await open(server);
      expect(engine.info.features).toEqual(expect.arrayContaining(["json", "thinking_budget", "logprobs"]));
      peer.answer = () => ({ events: [event([END], 1, "stop")] });
      await run(engine, await taskFor(engine, { grammar: { gbnf: GRAMMAR } }));
      const body = peer.asks[0]?.body ?? {};
      expect(grammarIn(body)).toBe(String.raw`root ::= "{" Token(1000){0,1} [a-z]{1,2} "}"`);
      const bias = samplingIn(body)["logit_bias"] as Record<string, number>;
      expect(bias[THINK_CLOSE]).toBe(-100);
      expect(Object.keys(bias)).not.toContain(String(END));
      expect(Object.keys(bias)).not.toContain("1000");
    });

    test("an answer that another node began goes on with what is left of its form", async ({ expect }) => {
      const { engine, peer } = await open(server);
      const delivered = [await idOf(engine, "{"), await idOf(engine, "b")];
      peer.answer = () => ({ events: [event([END], 1, "stop")] });
      const task = await taskFor(engine, { grammar: { gbnf: GRAMMAR }, delivered });
      await run(engine, task);
      const body = peer.asks[0]?.body ?? {};
      expect(grammarIn(body)).toBe('root ::= [a-z]{0,1} "}"');
      expect(promptIn(body)).toEqual([...task.prompt, ...delivered]);
      const done = [...delivered, await idOf(engine, "}")];
      expect(ids(await run(engine, { ...task, delivered: done }))).toEqual([END]);
      expect(peer.asks).toHaveLength(1);
    });

    test("thinking is cut at its budget and gone on with behind the mark, bound from there", async ({
      expect,
    }) => {
      const { engine, peer } = await open(server);
      const task = await taskFor(
        engine,
        { thinkingTokensMax: 2, grammar: { gbnf: GRAMMAR, after: THINK_CLOSE }, outputTokensMax: 20 },
        true,
      );
      peer.answer = () =>
        peer.asks.length === 1
          ? { events: [event([30], 1, null), event([31, 32], 3, null)], open: true }
          : { events: [event([40, END], 2, "stop")] };
      const events = await run(engine, task);
      expect(ids(events)).toEqual([30, 31, THINK_CLOSE, 40, END]);
      expect(events.map(({ kind }) => kind).filter((kind) => kind === "started")).toHaveLength(1);
      await peer.asks[0]?.left;
      const [free, bound] = peer.asks.map(({ body }) => body);
      expect(grammarIn(free ?? {})).toBeUndefined();
      expect(grammarIn(bound ?? {})).toContain("root ::= ");
      expect(promptIn(bound ?? {})).toEqual([...task.prompt, 30, 31, THINK_CLOSE]);
    });

    test("a section of tools is bound from its mark on, and what the server made behind the cut is not handed over", async ({
      expect,
    }) => {
      const { engine, peer } = await open(server);
      const { tools } = engine.info;
      if (tools === undefined || tools.format === "v3.2") throw new Error("the bundled model has V3.1's");
      peer.answer = () =>
        peer.asks.length === 1
          ? { events: [event([30, tools.callsBegin, 31], 3, null)], open: true }
          : { events: [event([END], 1, "stop")] };
      const task = await taskFor(engine, { grammar: { gbnf: GRAMMAR, after: tools.callsBegin } });
      expect(ids(await run(engine, task))).toEqual([30, tools.callsBegin, END]);
      const max = server === "vllm" ? "max_tokens" : "max_new_tokens";
      expect(peer.asks.map(({ body }) => samplingIn(body)[max])).toEqual([8, 6]);
    });

    test("a section of tools ends thinking: no budget closes it again", async ({ expect }) => {
      const { engine, peer } = await open(server);
      const { tools } = engine.info;
      if (tools === undefined || tools.format === "v3.2") throw new Error("the bundled model has V3.1's");
      const grammar = { gbnf: GRAMMAR, after: tools.callsBegin };
      const task = await taskFor(engine, { thinkingTokensMax: 2, grammar }, true);
      peer.answer = () => ({
        events: [event(peer.asks.length === 1 ? [30, tools.callsBegin] : [40, END], 2, "stop")],
      });
      expect(ids(await run(engine, task))).toEqual([30, tools.callsBegin, 40, END]);
    });

    test("where it does not bind, or does not say what was cached, that is not among what it can do", async ({
      expect,
    }) => {
      const { engine, logged } = await open(server, (peer) => {
        peer.binds = false;
        peer.tellsCached = false;
      });
      expect(engine.info.features).not.toContain("json");
      expect(engine.info.features).not.toContain("cached_tokens");
      expect(logged.join()).toContain("does not bind");
    });

    test("a seed goes along, and another one behind tokens that are there", async ({ expect }) => {
      const { engine, peer } = await open(server);
      peer.answer = () => ({ events: [event([END], 1, "stop")] });
      const sampling: Sampling = { temperature: 1, topP: 1, seed: 7 };
      await run(engine, await taskFor(engine, { sampling }));
      await run(engine, await taskFor(engine, { sampling, delivered: [30, 31] }));
      const field = server === "vllm" ? "seed" : "sampling_seed";
      expect(peer.asks.map(({ body }) => samplingIn(body)[field])).toEqual([7, 9]);
      expect(engine.info.features.includes("seeded")).toBe(server === "vllm");
    });
  });
}

describe("what those servers tell", () => {
  test("vLLM's logarithms are read by token id, the likeliest first", async ({ expect }) => {
    const { engine, peer } = await open("vllm");
    const logprobs = {
      tokens: ["token_id:30"],
      token_logprobs: [-1.5],
      top_logprobs: [{ "token_id:30": -1.5, "token_id:31": -0.4 }],
    };
    const choice = { index: 0, text: "x", token_ids: [30], finish_reason: "length", logprobs };
    peer.answer = () => ({ events: [{ choices: [choice] }] });
    const [token] = tokensOf(await run(engine, await taskFor(engine, { logprobs: 2, outputTokensMax: 1 })));
    expect(token?.logprobs?.own).toBe(-1.5);
    expect(token?.logprobs?.top.map(([{ id }, value]) => [id, value])).toEqual([[31, -0.4], [30, -1.5]]); // prettier-ignore
    expect(peer.asks[0]?.body).toMatchObject({ logprobs: 2, return_tokens_as_token_ids: true });
  });

  test("SGLang's are the newest tokens', and refused where they would not be the model's own", async ({
    expect,
  }) => {
    const { engine, peer } = await open("sglang");
    const meta = (total: number, own: unknown[], top: unknown[], end: object | null = null): unknown => ({
      output_ids: [30, 31].slice(0, total),
      meta_info: {
        completion_tokens: total,
        finish_reason: end,
        output_token_logprobs: own,
        output_top_logprobs: top,
      },
    });
    peer.answer = () => ({
      events: [
        meta(1, [[-1, 30, null]], [[[-1, 30, null]]]),
        meta(
          2,
          [[-1, 30, null], [-2, 31, null]], // prettier-ignore
          [[[-1, 30, null]], [[-0.1, 40, null], [-2, 31, null]]], // prettier-ignore
          { type: "length" },
        ),
      ],
    });
    const task = await taskFor(engine, { logprobs: 2, outputTokensMax: 2 });
    const tokens = tokensOf(await run(engine, task));
    expect(tokens.map(({ logprobs }) => logprobs?.own)).toEqual([-1, -2]);
    expect(tokens[1]?.logprobs?.top.map(([{ id }]) => id)).toEqual([40, 31]);
    const lackWith = (rest: Partial<Task>): string | undefined =>
      engine.lackFor?.({ ...task, ...rest })?.param;
    const at = (sampling: Partial<Sampling>): Partial<Task> => ({
      sampling: { ...task.sampling, ...sampling },
    });
    expect(lackWith({})).toBeUndefined();
    expect(lackWith(at({ temperature: 0, logitBias: [[3, Number.NEGATIVE_INFINITY]] }))).toBeUndefined();
    for (const rest of [
      at({ temperature: 0.5 }),
      at({ presencePenalty: 1 }),
      at({ logitBias: [[3, 1]] }),
      { grammar: { gbnf: GRAMMAR } },
    ])
      expect(lackWith(rest)).toBe("logprobs");
  });

  test("how much vLLM had cached is known behind the end, and counted then", async ({ expect }) => {
    const { engine, peer } = await open("vllm");
    const usage = { prompt_tokens: 9, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 5 } };
    peer.answer = () => ({
      events: [
        { choices: [{ index: 0, text: "x", token_ids: [END], finish_reason: "stop" }] },
        { choices: [], usage },
      ],
    });
    const events = await run(engine, await taskFor(engine));
    expect(engine.info.features).toContain("cached_tokens");
    expect(events[0]).toEqual({ kind: "started", cached: 0 });
    expect(events.slice(-2)).toEqual([
      { kind: "counted", cached: 5 },
      { kind: "end", why: "stop" },
    ]);
  });
});

describe("whose fault it is", () => {
  test("a server that has no room, or fails at one task, is not lost with it", async ({ expect }) => {
    const { engine, peer, logged } = await open("vllm");
    let goOn = (_events: readonly unknown[]): void => undefined;
    const later = new Promise<readonly unknown[]>((resolve) => (goOn = resolve));
    peer.answer = () => ({ events: [SHAPES.vllm.event([30], 1, null)], later });
    const neighbour = engine.generate(await taskFor(engine), never)[Symbol.asyncIterator]();
    await neighbour.next();
    for (const [status, kind] of [
      [429, "busy"],
      [503, "busy"],
      [500, "failed"],
      [502, "failed"],
    ] as const) {
      peer.answer = () => ({ events: [], status });
      await expect(run(engine, await taskFor(engine))).rejects.toMatchObject({ kind });
      expect(engine.ready).toBe(true);
    }
    goOn([SHAPES.vllm.event([END], 2, "stop")]);
    const rest: EngineEvent[] = [];
    for (let next = await neighbour.next(); next.done !== true; next = await neighbour.next())
      rest.push(next.value);
    expect(rest.at(-1)).toEqual({ kind: "end", why: "stop" });
    expect(logged.join()).not.toContain("is lost");
  });

  test("a server that fails and is not well when it is asked is lost, until it is well", async ({
    expect,
  }) => {
    const { engine, peer, logged } = await open("vllm");
    peer.answer = () => ({ events: [], status: 500 });
    peer.healthy = false;
    await expect(run(engine, await taskFor(engine))).rejects.toMatchObject({ kind: "failed" });
    await expect.poll(() => engine.ready, { interval: 5, timeout: 5_000 }).toBe(false);
    peer.healthy = true;
    await expect.poll(() => engine.ready, { interval: 5, timeout: 5_000 }).toBe(true);
    expect(logged.filter((line) => line.includes("is lost"))).toHaveLength(1);
  });

  test("only a connection that breaks takes everything with it", ({ expect }) => {
    const verdicts = [
      new WireError(404),
      new WireError(429),
      new WireError(503),
      new WireError(500),
      new LateAnswer(),
    ];
    expect(verdicts.map((error) => judge(error, "s").server)).toEqual([
      "well",
      "well",
      "doubtful",
      "doubtful",
      "doubtful",
    ]);
    expect(judge(new Error("ECONNREFUSED"), "s").server).toBe("lost");
  });
});

test("seeds are numbers every server takes, and never the one that means any", ({ expect }) => {
  for (const seed of [0, -1, 2 ** 32 - 1, 2 ** 32, -(2 ** 53), 2 ** 53]) {
    const sent = seedFor(seed, 3);
    expect(sent).toBeGreaterThanOrEqual(0);
    expect(sent).toBeLessThan(2 ** 32 - 1);
  }
});

test("half a character in a prompt goes to the server as what bytes make of it, and text that looks like one as it is", async ({
  expect,
}) => {
  const { engine, peer } = await open("llama-server");
  const tokens = await engine.encodeText("a\ud800b");
  expect(tokens).toEqual(await engine.encodeText("a\ufffdb"));
  expect(await engine.encodeText(String.raw`\ud800`)).toHaveLength(1 + String.raw`\ud800`.length);
  expect(peer.tokenized).toEqual(["a\ufffdb", "a\ufffdb", String.raw`\ud800`]);
});

describe("what a server lacks is said at the start, with what gives it that", () => {
  test("one that shows no token ids cannot be fronted by them", async ({ expect }) => {
    const opened = open("vllm", (peer) => (peer.showsIds = false), 0);
    await expect(opened).rejects.toThrow(/shows no token ids \(vLLM 0\.10\.2 or newer.*--server openai\)/);
  });

  for (const server of ["vllm", "sglang"] as const)
    test(`${server} that reuses the prompt of one user for another is not fronted at all`, async ({
      expect,
    }) => {
      const opened = open(server, (peer) => (peer.apart = false), 0);
      await expect(opened).rejects.toThrow(/reuses the prompt of one user for another/);
    });

  test("that nothing tells what was cached, or binds, is in the log with the flag or the release", async ({
    expect,
  }) => {
    const { logged } = await open("vllm", (peer) =>
      Object.assign(peer, { binds: false, tellsCached: false }),
    );
    expect(logged.join("\n")).toContain("(--enable-prompt-tokens-details)");
    expect(logged.join("\n")).toContain("(vLLM 0.20 or newer, with XGrammar and without --reasoning-parser)");
  });

  test("an older SGLang says what it is at an older address", async ({ expect }) => {
    const { engine } = await open("sglang", (peer) => (peer.oldNames = true));
    expect(engine.info).toMatchObject({ contextTokens: 2_048, slots: 16 });
  });

  test("one that is away says when it is back, by how long it was away before", async ({ expect }) => {
    const { engine, peer, logged } = await open("vllm");
    expect(engine.wakeMs?.()).toBeUndefined();
    const failing = async (): Promise<void> => {
      peer.answer = () => ({ events: [], status: 500 });
      peer.healthy = false;
      await run(engine, await taskFor(engine)).catch(() => undefined);
      await expect.poll(() => engine.ready, { interval: 5, timeout: 5_000 }).toBe(false);
    };
    await failing();
    expect(engine.wakeMs?.()).toBeUndefined();
    // Not before it has been asked in vain: who is back at once was never away.
    await expect
      .poll(() => logged.some((line) => line.startsWith("waiting for")), { interval: 5, timeout: 5_000 })
      .toBe(true);
    peer.healthy = true;
    await expect.poll(() => engine.ready, { interval: 5, timeout: 5_000 }).toBe(true);
    await failing();
    expect(engine.wakeMs?.()).toBeGreaterThan(0);
  });
});
