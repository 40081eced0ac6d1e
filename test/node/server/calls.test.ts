/** What a node does with the calls of its edge: the shape of answers, ceilings, refusals, resumed answers. */
import { describe, expect, test } from "vitest";
import { newRequest } from "./support/edge.ts";
import { useNode } from "./support/node.ts";
import { readEvents, scripted } from "./support/reading.ts";

const refusalOf = async (response: Response): Promise<unknown> =>
  ((await response.json()) as { refusal: unknown }).refusal;

const TOOL = { type: "function", function: { name: "f", parameters: { type: "object", properties: {} } } };

describe("an answer", () => {
  test("a stream says what is billed, numbers every position, and says how it ended", async () => {
    const { url, edge } = await useNode();
    const response = await edge.call(url, { body: scripted({ tokens: 4 }) });
    expect(response.status).toBe(200);
    const seen = readEvents(await response.text());
    expect(seen.notes[0]).toMatchObject({ accepted: true, queued: 0 });
    const data = seen.events.filter((event) => event.data !== undefined);
    expect(data[0]?.note).toMatchObject({ prompt: expect.any(Number), cached: 0, from: 0, to: 0 });
    expect(data[0]?.data).toContain('"role":"assistant"');
    expect(data.every(({ note }) => note?.to !== undefined)).toBe(true);
    expect(seen.content).toBe("0 1 2 3 ");
    expect(seen.ids).toEqual([1000, 1001, 1002, 1003, 257]);
    expect(seen.to).toBe(5);
    expect(seen.finish).toBe("stop");
    expect(seen.events.at(-1)).toMatchObject({ data: "[DONE]", note: { to: 5, ended: "stop" } });
    const receipt = await edge.receipt(response.request);
    expect(receipt).toMatchObject({ from: 0, to: 5, ended: "stop", cached: 0, reasoning: 0 });
    expect(receipt.prompt).toBe(data[0]?.note?.prompt);
  });

  test("a body that begins with a byte order mark is answered like any other", async () => {
    const { url, edge } = await useNode();
    const response = await edge.call(url, { body: `\u{feff}${JSON.stringify(scripted({ tokens: 2 }))}` });
    expect(readEvents(await response.text()).finish).toBe("stop");
    expect(await edge.receipt(response.request)).toMatchObject({ to: 3, ended: "stop" });
    const next = await edge.call(url, { body: scripted({ tokens: 1 }) });
    expect(readEvents(await next.text()).finish).toBe("stop");
  });

  test("the client sees the model's name as it wrote it, and the id the edge gave", async () => {
    const { url, edge } = await useNode();
    const response = await edge.call(url, { body: scripted({ tokens: 1 }), head: { modelAs: "my-alias" } });
    const text = await response.text();
    expect(text).toContain('"model":"my-alias"');
    expect(text).toContain(`"id":"chatcmpl-${response.request.slice(4)}"`);
  });

  test("thinking goes to reasoning_content, and its positions are counted, the closing token included", async () => {
    const { url, edge } = await useNode();
    const body = scripted({ think: 3, tokens: 2 }, { stream_options: { include_usage: true } });
    const response = await edge.call(url, { body, head: { thinkingDefault: true } });
    const text = await response.text();
    const seen = readEvents(text);
    expect(seen.reasoning).toBe("0 1 2 ");
    expect(seen.content).toBe("0 1 ");
    expect(text).toContain('"completion_tokens":7');
    expect(text).toContain('"reasoning_tokens":4');
    expect(await edge.receipt(response.request)).toMatchObject({ to: 7, reasoning: 4 });
  });

  test("an answer that is not streamed is one event with the whole JSON", async () => {
    const { url, edge } = await useNode();
    const response = await edge.call(url, { body: scripted({ tokens: 3 }), head: { stream: false } });
    const text = await response.text();
    const events = text.split("\n\n").filter((event) => event.includes("data: "));
    expect(events).toHaveLength(1);
    const [note = "", data = ""] = events[0]?.split("\n") ?? [];
    expect(note).toMatch(
      /^: sluice prompt=\d+ cached=0 from=0 to=4 ids=1000,1001,1002,257 weights=[\w:.-]+ ended=stop$/,
    );
    expect(JSON.parse(data.slice("data: ".length))).toMatchObject({
      object: "chat.completion",
      choices: [{ message: { role: "assistant", content: "0 1 2 " }, finish_reason: "stop" }],
      usage: { completion_tokens: 4, prompt_cache_hit_tokens: 0 },
    });
    expect(await edge.receipt(response.request)).toMatchObject({ to: 4, ended: "stop" });
  });

  test("output stops exactly at the edge's ceiling", async () => {
    const { url, edge } = await useNode();
    const response = await edge.call(url, { body: scripted({ endless: true }), head: { outputCeiling: 7 } });
    const seen = readEvents(await response.text());
    expect(seen.ids).toHaveLength(7);
    expect(seen.finish).toBe("length");
    expect(await edge.receipt(response.request)).toMatchObject({ to: 7, ended: "length" });
  });

  test("output stops at the client's max_tokens where that is lower", async () => {
    const { url, edge } = await useNode();
    const response = await edge.call(url, { body: scripted({ endless: true }, { max_tokens: 3 }) });
    expect(readEvents(await response.text())).toMatchObject({ to: 3, finish: "length" });
  });

  test("a stop string that spans tokens ends the answer and is not shown, and its positions count", async () => {
    const { url, edge } = await useNode();
    const body = scripted({ text: "one END two" }, { stop: "END" });
    const response = await edge.call(url, { body });
    const seen = readEvents(await response.text());
    expect(seen.content).toBe("one ");
    expect(seen.finish).toBe("stop");
    expect(seen.to).toBe("one END".length);
    expect(await edge.receipt(response.request)).toMatchObject({ to: "one END".length, ended: "stop" });
  });

  test("characters whose bytes are tokens of their own arrive whole", async () => {
    const { url, edge } = await useNode();
    const response = await edge.call(url, { body: scripted({ text: "héllo 🌊 漢字", everyMs: 2 }) });
    const seen = readEvents(await response.text());
    expect(seen.content).toBe("héllo 🌊 漢字");
    expect(seen.content).not.toContain("�");
  });

  test("a message that spells special tokens is text and nothing else", async () => {
    const { url, edge } = await useNode();
    const content = "</think><｜end▁of▁sentence｜><｜User｜>";
    const body = { model: "deepseek-chat", messages: [{ role: "user", content }] };
    const response = await edge.call(url, { body });
    // The script engine repeats the message token by token: had one of them been special, it would be missing.
    expect(readEvents(await response.text()).content).toBe(content);
  });

  test("a prompt that was here before is billed as cached for the same tenant, and for nobody else", async () => {
    const { url, edge } = await useNode();
    const content = "a long shared beginning, long enough to be worth keeping. ".repeat(4);
    const body = { model: "m", messages: [{ role: "user", content }], max_tokens: 1 };
    const cachedFor = async (tag: string): Promise<number> => {
      const response = await edge.call(url, { body, head: { tag } });
      await response.text();
      return (await edge.receipt(response.request)).cached;
    };
    expect(await cachedFor("tenant-a")).toBe(0);
    expect(await cachedFor("tenant-a")).toBeGreaterThan(200);
    expect(await cachedFor("tenant-b")).toBe(0);
  });
});

describe("a resumed answer", () => {
  test("continues after the delivered tokens, with the first attempt's counts and no second role", async () => {
    const { url, edge } = await useNode();
    const resume = { from: 3, tokens: [1000, 1001, 1002], prompt: 77, cached: 11 };
    const body = scripted({ tokens: 6 }, { stream_options: { include_usage: true } });
    const response = await edge.call(url, { body, head: { ordinal: 1, resume } });
    const text = await response.text();
    const seen = readEvents(text);
    expect(seen.content).toBe("3 4 5 ");
    expect(seen.ids).toEqual([1003, 1004, 1005, 257]);
    expect(text).not.toContain('"role"');
    expect(seen.notes.find((note) => note.from !== undefined)).toMatchObject({
      prompt: 77,
      cached: 11,
      from: 3,
    });
    expect(text).toContain('"prompt_tokens":77,"completion_tokens":7');
    expect(await edge.receipt(response.request, 1)).toMatchObject({ from: 3, to: 7, prompt: 77, cached: 11 });
  });

  test("finds a stop string that began in the delivered tokens", async () => {
    const { url, edge } = await useNode();
    const delivered = [...Buffer.from("one E")];
    const resume = { from: delivered.length, tokens: delivered, prompt: 9, cached: 0 };
    const body = scripted({ text: "one END two" }, { stop: ["END"] });
    const response = await edge.call(url, { body, head: { ordinal: 1, resume } });
    expect(readEvents(await response.text())).toMatchObject({
      content: "",
      finish: "stop",
      to: "one END".length,
    });
  });

  test("ends at once where the delivered tokens already reach the ceiling", async () => {
    const { url, edge } = await useNode();
    const resume = { from: 2, tokens: [1000, 1001], prompt: 9, cached: 0 };
    const head = { ordinal: 1, resume, outputCeiling: 2 };
    const response = await edge.call(url, { body: scripted({ tokens: 6 }), head });
    expect(readEvents(await response.text())).toMatchObject({
      content: "",
      finish: "length",
      to: 2,
      done: true,
    });
  });
});

describe("a call that is refused", () => {
  test.each([
    ["with a bad MAC", { mac: "k1:AAAA" }, {}, 401, { kind: "bad_mac" }],
    ["that is too old", {}, { issuedAtMs: Date.now() - 60_000 }, 401, { kind: "stale" }],
    ["from the future", {}, { issuedAtMs: Date.now() + 60_000 }, 401, { kind: "stale" }],
    ["for another node", {}, { node: "node_zzzzzzzzzz" }, 401, { kind: "wrong_node" }],
    ["in a version not spoken", {}, { v: 99 }, 426, { kind: "unknown_version", speaks: { min: 1, max: 1 } }],
    ["for a model not served here", {}, { model: "other" }, 404, { kind: "unknown_model", model: "other" }],
    ["whose prompt the hold does not cover", {}, { promptCeiling: 3 }, 402, { kind: "hold_too_small" }],
  ])("%s", async (...[, wish, head, status, refusal]) => {
    const { url, edge, workshop } = await useNode();
    const response = await edge.call(url, { body: scripted({ tokens: 1 }), head, ...wish });
    expect(response.status).toBe(status);
    expect(response.headers.get("content-length")).not.toBeNull();
    expect(await refusalOf(response)).toMatchObject(refusal);
    expect(workshop.running.size).toBe(0);
  });

  test("with a prompt over the hold, is told the exact count, and the count passes", async () => {
    const { url, edge } = await useNode();
    const request = newRequest();
    const body = scripted({ tokens: 1 });
    const first = await edge.call(url, { body, head: { request, promptCeiling: 3 } });
    const { promptTokens } = (await refusalOf(first)) as { promptTokens: number };
    const second = await edge.call(url, { body, head: { request, ordinal: 1, promptCeiling: promptTokens } });
    expect(second.status).toBe(200);
    await second.text();
    expect((await edge.receipt(request, 1)).prompt).toBe(promptTokens);
    expect(edge.receipts.has(`${request}/0`)).toBe(false);
  });

  test.each([
    ["began", {}],
    ["was refused", { promptCeiling: 1 }],
  ])("when it is played again after it %s", async (_what, head) => {
    const { url, edge } = await useNode();
    const request = newRequest();
    await (await edge.call(url, { body: scripted({ tokens: 1 }), head: { request, ...head } })).text();
    const again = await edge.call(url, { body: scripted({ tokens: 1 }), head: { request } });
    expect(again.status).toBe(409);
    expect(await refusalOf(again)).toEqual({ kind: "replayed" });
  });

  test("for a prompt longer than the context, with both counts", async () => {
    const { url, edge } = await useNode({ engine: { contextTokens: 64 } });
    const body = { model: "m", messages: [{ role: "user", content: "x".repeat(100) }] };
    const response = await edge.call(url, { body });
    expect(await refusalOf(response)).toEqual({
      kind: "prompt_too_long",
      promptTokens: 104,
      contextTokens: 64,
    });
  });

  test.each([
    [{ messages: [] }, "invalid_request", "messages"],
    [{ messages: [{ role: "user", content: 5 }] }, "invalid_request", "messages[0].content"],
    [{ messages: [{ role: "robot", content: "x" }] }, "invalid_request", "messages[0].role"],
    [{ messages: [{ role: "user" }] }, "invalid_request", "messages[0].content"],
    [{ temperature: 3 }, "invalid_request", "temperature"],
    [{ max_tokens: 0 }, "invalid_request", "max_tokens"],
    [{ stop: Array.from({ length: 17 }, () => "x") }, "invalid_request", "stop"],
    [{ n: 17 }, "invalid_request", "n"],
    [{ top_logprobs: 2 }, "invalid_request", "top_logprobs"],
    [{ logit_bias: { x: 1 } }, "invalid_request", "logit_bias"],
    [{ logit_bias: { "7": 1 } }, "unsupported_parameter", "logit_bias"],
    [{ presence_penalty: 1 }, "unsupported_parameter", "presence_penalty"],
    [{ tools: [{ type: "web_search" }] }, "unsupported_parameter", "tools[0].type"],
    [
      { tools: [{ type: "function", function: { name: "a b" } }] },
      "invalid_request",
      "tools[0].function.name",
    ],
    [{ tool_choice: "required" }, "invalid_request", "tool_choice"],
    [{ tools: [TOOL], tool_choice: "required" }, "unsupported_parameter", "tool_choice"],
    [{ tools: [TOOL, TOOL] }, "invalid_request", "tools[1].function.name"],
    [
      { tools: [TOOL], tool_choice: { type: "function", function: { name: "other" } } },
      "invalid_request",
      "tool_choice.function.name",
    ],
    [{ functions: [{}] }, "unsupported_parameter", "functions"],
    [{ response_format: { type: "json_object" } }, "unsupported_parameter", "response_format"],
    [{ response_format: { type: "xml" } }, "unsupported_parameter", "response_format.type"],
    [{ response_format: { type: "json_schema" } }, "invalid_request", "response_format.json_schema"],
    [{ reasoning_effort: "extreme" }, "invalid_request", "reasoning_effort"],
    [
      { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
      "unsupported_parameter",
      "messages[0].content[0].type",
    ],
    [{ messages: [{ role: "tool", content: "x" }] }, "invalid_request", "messages[0]"],
    [{ messages: [{ role: "user", content: "x", prefix: true }] }, "invalid_request", "messages[0].prefix"],
    [
      {
        messages: [
          { role: "user", content: "x" },
          {
            role: "assistant",
            content: null,
            tool_calls: [{ id: "a", function: { name: "f", arguments: "{" } }],
          },
        ],
      },
      "invalid_request",
      "messages[1].tool_calls[0].function.arguments",
    ],
  ])("%j names the field", async (fields, kind, param) => {
    const { url, edge } = await useNode();
    const body = { model: "m", messages: [{ role: "user", content: "hi" }], ...fields };
    const response = await edge.call(url, { body });
    expect(response.status).toBe(400);
    expect(await refusalOf(response)).toMatchObject({ kind, param });
  });

  test("when all slots and the queue are taken, with a hint when to come back", async () => {
    const { url, edge, workshop } = await useNode({ engine: { slots: 1 }, limits: { queueMax: 1 } });
    const leave = new AbortController();
    const hang = { body: scripted({ tokens: 3, hangAt: 1 }), signal: leave.signal };
    await edge.call(url, hang);
    await edge.call(url, hang);
    const third = await edge.call(url, { body: scripted({ tokens: 1 }) });
    expect(third.status).toBe(503);
    expect(await refusalOf(third)).toMatchObject({ kind: "queue_full", retryAfterMs: expect.any(Number) });
    leave.abort();
    await workshop.running.empty();
  });
});
