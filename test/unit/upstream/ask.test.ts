/** What an upstream is asked for a client's call, and which calls never go there. */
import { describe, test } from "vitest";
import { printAsk, readAsk } from "../../../src/upstream/ask.ts";

const SERVED = {
  model: "ours",
  as: "theirs",
  thinks: false,
  tagField: null,
  contextTokens: null,
  extra: { chat_template_kwargs: { thinking: false }, max_tokens: 1, stream: false },
  inputMicroUsdPerM: 1,
  cachedMicroUsdPerM: 1,
  outputMicroUsdPerM: 1,
};
const CHAT = { model: "ours", messages: [{ role: "user", content: "hi" }] };

function read(body: object, thinkingDefault = false) {
  return readAsk(new TextEncoder().encode(JSON.stringify(body)), thinkingDefault);
}

function asked(body: object, change: object = {}) {
  const ask = read(body);
  return ask === undefined
    ? undefined
    : (JSON.parse(
        printAsk(ask, { ...SERVED, ...change }, { promptCeiling: 100, outputCeiling: 77, tag: "k1-tag" }),
      ) as Record<string, unknown>);
}

describe("an upstream is asked", () => {
  test("for a stream with usage, by its own name, up to what is held, whatever the admin's extras say", ({
    expect,
  }) => {
    expect(asked({ ...CHAT, max_tokens: 9_999, stream: false })).toEqual({
      chat_template_kwargs: { thinking: false },
      model: "theirs",
      messages: [{ role: "user", content: "hi" }],
      max_tokens: 77,
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  const FITTING = [
    [null, 77],
    [200, 77],
    [177, 77],
    [176, 76],
    [50, 1],
  ] as const;
  test.for(FITTING)(
    "with a context of %s behind a prompt of up to 100, for no more than fits: %s",
    ([contextTokens, tokens], { expect }) => {
      expect(asked(CHAT, { contextTokens })?.["max_tokens"]).toBe(tokens);
    },
  );

  test("for what is known to mean the same everywhere, and for nothing of the client's else", ({
    expect,
  }) => {
    const known = {
      temperature: 0.5,
      top_p: 0.9,
      stop: ["x"],
      seed: 4,
      response_format: { type: "json_object" },
      tools: [{ type: "function", function: { name: "f" } }],
      tool_choice: "auto",
    };
    const unknown = {
      user: "me",
      user_id: "me",
      cache_salt: "x",
      priority: 9,
      api_base: "https://evil.example.com",
    };
    const body = asked({ ...CHAT, ...known, ...unknown, metadata: { a: "b" } });
    expect(body).toMatchObject(known);
    for (const field of [...Object.keys(unknown), "metadata"]) expect(body).not.toHaveProperty(field);
  });

  test("with messages as every server takes them", ({ expect }) => {
    const messages = [
      {
        role: "developer",
        content: [
          { type: "text", text: "be " },
          { type: "text", text: "brief" },
        ],
      },
      {
        role: "assistant",
        content: null,
        reasoning_content: "hm",
        tool_calls: [{ id: "a" }],
        cache_control: {},
      },
      { role: "tool", tool_call_id: "a", content: "4" },
    ];
    expect(asked({ ...CHAT, messages })?.["messages"]).toEqual([
      { role: "system", content: "be brief" },
      { role: "assistant", content: null, tool_calls: [{ id: "a" }] },
      { role: "tool", content: "4", tool_call_id: "a" },
    ]);
  });

  test("with the isolation tag, where the server has a field that keeps prefix caches apart", ({
    expect,
  }) => {
    expect(asked(CHAT, { tagField: "cache_salt" })).toMatchObject({ cache_salt: "k1-tag" });
    expect(JSON.stringify(asked(CHAT))).not.toContain("k1-tag");
  });

  const NEVER = [
    ["images", { messages: [{ role: "user", content: [{ type: "image_url", image_url: {} }] }] }],
    ["top_k", { top_k: 5 }],
    ["min_p", { min_p: 0.1 }],
    ["the old role of functions", { messages: [{ role: "function", content: "x" }] }],
  ] as const;
  test.for(NEVER)("never for %s", ([, change], { expect }) => {
    expect(read({ ...CHAT, ...change })).toBeUndefined();
  });

  const THINKING = [
    ["as the model does by default", {}, true, true],
    ["because it was said", { thinking: { type: "enabled" } }, false, true],
    ["not, because it was said", { thinking: { type: "disabled" } }, true, false],
    ["by effort", { reasoning_effort: "high" }, false, true],
    ["not at all, by effort", { reasoning_effort: "none" }, true, false],
  ] as const;
  test.for(THINKING)("to think %s", ([, change, byDefault, thinks], { expect }) => {
    expect(read({ ...CHAT, ...change }, byDefault)?.thinks).toBe(thinks);
  });

  const EFFORTS = [
    ["low", {}, ["effort"], "low"],
    ["medium", { thinking: { type: "enabled" } }, ["effort"], "medium"],
    ["minimal", { thinking: { type: "disabled" } }, [], undefined],
    ["high", {}, [], undefined],
    ["none", {}, [], undefined],
  ] as const;
  test.for(EFFORTS)(
    "only where efforts are known, and with it, for one that nodes make a budget of: %s, %j",
    ([effort, change, features, passed], { expect }) => {
      const body = { ...CHAT, reasoning_effort: effort, ...change };
      expect(read(body)?.features).toEqual(features);
      expect(asked(body)?.["reasoning_effort"]).toBe(passed);
    },
  );

  test("about a prompt of a quarter of its bytes in tokens", ({ expect }) => {
    const content = "x".repeat(4_000);
    const tokens = read({ ...CHAT, messages: [{ role: "user", content }] })?.promptTokens ?? 0;
    expect(tokens).toBeGreaterThanOrEqual(1_000);
    expect(tokens).toBeLessThan(1_020);
  });
});
