/** A kept answer is told again as it was: same words, same numbers; its own id, its own date, in whichever form. */
import { describe, expect, test } from "vitest";
import {
  countsOf,
  finishedFromStream,
  finishedFromWhole,
  printReplay,
} from "../../../src/wire/openai-replay.ts";

const counts = { promptTokens: 9, cachedTokens: 4, completionTokens: 6, reasoningTokens: 2 };
const usage = {
  prompt_tokens: 9,
  completion_tokens: 6,
  total_tokens: 15,
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { reasoning_tokens: 2 },
  prompt_cache_hit_tokens: 4,
  prompt_cache_miss_tokens: 5,
};
const face = { id: "chatcmpl-new", createdS: 2_000, model: "alias", includeUsage: false };

function chunk(delta: object, finish: string | null = null, more: object = {}): string {
  const said = { index: 0, delta, logprobs: null, finish_reason: finish };
  return `data: ${JSON.stringify({
    id: "chatcmpl-old",
    object: "chat.completion.chunk",
    created: 1_000,
    model: "tiny",
    system_fingerprint: "fp",
    choices: [said],
    ...more,
  })}\n\n`;
}

const STREAM =
  ": sluice prompt=9 cached=4 from=0 to=0\n" +
  chunk({ role: "assistant", content: null, reasoning_content: "" }) +
  ": keep-alive\n\n" +
  chunk({ reasoning_content: "hm" }) +
  chunk({ content: "4" }) +
  chunk({ content: "2" }) +
  chunk({}, "stop") +
  ": sluice to=6 ended=stop reasoning=2\ndata: [DONE]\n\n";

const WHOLE = JSON.stringify({
  id: "chatcmpl-old",
  object: "chat.completion",
  created: 1_000,
  model: "tiny",
  system_fingerprint: "fp",
  choices: [
    {
      index: 0,
      message: { role: "assistant", content: "42", reasoning_content: "hm", refusal: null },
      logprobs: null,
      finish_reason: "stop",
    },
  ],
  usage,
});

const renewed = (text: string): string =>
  text
    .replaceAll("chatcmpl-old", face.id)
    .replaceAll('"created":1000', '"created":2000')
    .replaceAll('"model":"tiny"', '"model":"alias"');

/** The data lines alone. */
const dataOf = (events: string): string[] => events.split("\n").filter((line) => line.startsWith("data:"));

function fromStream(events = STREAM) {
  const finished = finishedFromStream(events, counts);
  if (finished === undefined) throw new Error("the answer was not kept");
  return finished;
}

function fromWhole(text = WHOLE) {
  const finished = finishedFromWhole(text);
  if (finished === undefined) throw new Error("the answer was not kept");
  return finished;
}

describe("an answer told again", () => {
  test("a stream as a stream: every event as it was, but for id, date and name", () => {
    expect(dataOf(printReplay(fromStream(), face, true))).toEqual(dataOf(renewed(STREAM)));
  });

  test("in one piece as in one piece, byte for byte but for id, date and name", () => {
    expect(printReplay(fromWhole(), face, false)).toBe(renewed(WHOLE));
  });

  test("a stream in one piece, its usage from the counts although the client never asked for it", () => {
    expect(printReplay(fromStream(), face, false)).toBe(renewed(WHOLE));
  });

  test("in one piece as a stream, with its usage where that is asked for", () => {
    const lines = dataOf(printReplay(fromWhole(), { ...face, includeUsage: true }, true));
    const chunks = lines.slice(0, -1).map((line) => JSON.parse(line.slice(6)) as Record<string, unknown>);
    expect(lines.at(-1)).toBe("data: [DONE]");
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage });
    expect(chunks.slice(0, -1).every((one) => one["usage"] === null)).toBe(true);
    expect(printReplay(fromStream(lines.map((line) => `${line}\n\n`).join("")), face, false)).toBe(
      renewed(WHOLE),
    );
  });

  test("calls of tools survive both ways", () => {
    const call = { id: "c1", type: "function", function: { name: "f", arguments: '{"a":1}' } };
    const whole = WHOLE.replace(
      '"content":"42","reasoning_content":"hm"',
      `"content":null,"tool_calls":[${JSON.stringify(call)}]`,
    ).replace('"stop"', '"tool_calls"');
    const streamed = printReplay(fromWhole(whole), face, true);
    expect(printReplay(fromWhole(whole), face, false)).toBe(renewed(whole));
    expect(printReplay({ ...fromStream(streamed), usage }, face, false)).toBe(renewed(whole));
    const pieces =
      chunk({ role: "assistant", content: null }) +
      chunk({
        tool_calls: [{ index: 0, id: "c1", type: "function", function: { name: "f", arguments: '{"a"' } }],
      }) +
      chunk({ tool_calls: [{ index: 0, function: { arguments: ":1}" } }] }) +
      chunk({}, "tool_calls") +
      "data: [DONE]\n\n";
    expect(printReplay(fromStream(pieces), face, false)).toBe(renewed(whole));
  });

  test("its counts are its usage's", () => {
    expect(countsOf(fromWhole())).toEqual(counts);
    expect(countsOf(fromStream())).toEqual(counts);
  });
});

describe("an answer that is not kept", () => {
  test.each([
    ["a stream without its end", STREAM.replace("data: [DONE]\n\n", "")],
    ["a stream without a reason for its end", STREAM.replace('"stop"', "null")],
    ["a stream with two ends", STREAM.replace(chunk({ content: "4" }), chunk({ content: "4" }, "stop"))],
    ["a stream that was blocked", STREAM.replace('"stop"', '"content_filter"')],
    [
      "a stream with an error in it",
      STREAM.replace(chunk({ content: "4" }), 'data: {"error":{"message":"x"}}\n\n'),
    ],
    ["a stream of something else", STREAM.replace('"content":"4"', '"audio":"4"')],
    ["a stream with a second choice", STREAM.replaceAll('"index":0', '"index":1')],
    ["a stream that is cut inside an event", STREAM.slice(0, STREAM.indexOf('"content":"4"') + 12)],
    ["a stream that goes on after its end", `${STREAM}${chunk({ content: "!" })}`],
  ])("%s", (_, events) => expect(finishedFromStream(events, counts)).toBeUndefined());

  test.each([
    ["an error", '{"error":{"message":"x"}}'],
    ["half an answer", WHOLE.slice(0, -10)],
    ["one that was blocked", WHOLE.replace('"stop"', '"content_filter"')],
    ["one with a field nobody knows", WHOLE.replace('"refusal"', '"audio":1,"refusal"')],
  ])("%s", (_, text) => expect(finishedFromWhole(text)).toBeUndefined());
});
