/** Calls of tools that the model makes of its own accord: through the SDK's own loop, and over the death of a node. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { Stack } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

beforeAll(async () => {
  platform = await temporaryPlatform({ nodeCount: 2 });
  stack = new Stack(platform);
});
afterAll(() => platform[Symbol.asyncDispose]());
beforeEach(async () => {
  await platform.whenNodesReady();
  await stack.serving();
});

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

test("the SDK runs the tool, sends its result, and gets the answer", async () => {
  const tenant = await stack.tenant();
  const asked: string[] = [];
  const runner = stack.sdk(tenant).chat.completions.runTools({
    model: platform.model,
    messages: stack.script({
      text: "Let me look.",
      calls: [{ name: "weather", arguments: '{"city":"Rome"}' }],
      think: 0,
    }),
    tools: [
      {
        type: "function",
        function: {
          name: "weather",
          description: "The weather in a city",
          parameters,
          parse: (text: string) => JSON.parse(text) as { city: string },
          function: ({ city }: { city: string }) => {
            asked.push(city);
            return `sunny in ${city}`;
          },
        },
      },
    ],
    stream: true,
  });
  // The script engine says back what the last message was: the tool's result.
  expect(await runner.finalContent()).toBe("sunny in Rome");
  expect(asked).toEqual(["Rome"]);
  const [first] = runner.allChatCompletions();
  expect(first?.choices[0]).toMatchObject({
    finish_reason: "tool_calls",
    message: {
      content: "Let me look.",
      tool_calls: [{ function: { name: "weather", arguments: '{"city":"Rome"}' } }],
    },
  });
});

test("a node that dies inside the arguments is not noticed: the call's id, name and arguments are whole", async () => {
  const tenant = await stack.tenant();
  const args = JSON.stringify({ city: "Rome", note: "x".repeat(60) });
  const stream = stack.sdk(tenant).chat.completions.stream({
    model: platform.model,
    messages: stack.script({
      calls: [{ name: "weather", arguments: args }],
      think: 0,
      everyMs: 4,
      dieAt: 40,
    }),
    tools: [{ type: "function", function: { name: "weather", parameters } }],
  });
  const answer = await stream.finalChatCompletion();
  expect(answer.choices[0]?.finish_reason).toBe("tool_calls");
  expect(answer.choices[0]?.message.tool_calls).toMatchObject([
    { id: expect.stringMatching(/^call_/), function: { name: "weather", arguments: args } },
  ]);
  const row = await stack.onlyRow(tenant, 10_000);
  expect(row.attempts.length).toBeGreaterThan(1);
  expect(row).toMatchObject({ certainty: "exact", ended: "tool_calls" });
});

test("what no engine here can do is refused by its field, and costs nothing", async () => {
  const tenant = await stack.tenant();
  const body = {
    model: platform.model,
    messages: stack.script({ tokens: 1 }),
    response_format: { type: "json_object" },
  };
  const response = await stack.post(tenant, body);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    error: { code: "unsupported_parameter", param: "response_format" },
  });
  await stack.settled(tenant, 5_000);
});
