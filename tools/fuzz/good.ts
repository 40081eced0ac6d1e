/** Good bodies, which between them use every field: what the mutations start from. */
const parameters = {
  type: "object",
  properties: {
    city: { type: "string" },
    days: { type: "array", items: { $ref: "#/$defs/day" }, maxItems: 3 },
  },
  required: ["city", "days"],
  additionalProperties: false,
  $defs: { day: { enum: ["mon", "tue", 3, null] } },
};
const tools = [
  { type: "function", function: { name: "weather", description: "d", parameters, strict: true } },
  { type: "function", function: { name: "time" } },
];
const talk = [
  { role: "system", content: "Be kind." },
  { role: "user", content: [{ type: "text", text: "hi" }] },
  {
    role: "assistant",
    content: null,
    reasoning_content: "hm",
    tool_calls: [{ id: "c1", type: "function", function: { name: "weather", arguments: '{"city":"Rome"}' } }],
  },
  { role: "tool", tool_call_id: "c1", content: "sunny" },
  { role: "user", content: "and?" },
];

export const GOOD_CHATS: readonly object[] = [
  { model: "m", messages: [{ role: "user", content: "hi" }] },
  { model: "m", messages: talk, tools, tool_choice: "auto", parallel_tool_calls: false, stream: true },
  {
    model: "m",
    messages: [{ role: "user", content: "x" }],
    response_format: { type: "json_schema", json_schema: { name: "a", strict: true, schema: parameters } },
    thinking: { type: "enabled", budget_tokens: 5 },
    max_tokens: 9,
  },
  {
    model: "m",
    messages: [
      { role: "user", content: "x" },
      { role: "assistant", content: "so", prefix: true, reasoning_content: "r" },
    ],
    temperature: 0.5,
    top_p: 0.9,
    top_k: 5,
    min_p: 0.1,
    frequency_penalty: 1,
    presence_penalty: -1,
    logit_bias: { "5": -100 },
    logprobs: true,
    top_logprobs: 3,
    seed: 7,
    stop: ["a", "b"],
    n: 2,
    stream_options: { include_usage: true },
    user_id: "u",
    reasoning_effort: "low",
  },
];

export const GOOD_COMPLETIONS: readonly object[] = [
  { model: "m", prompt: "1, 2, 3", max_tokens: 5, logprobs: 2, stop: "x", n: 2, seed: 1 },
  { model: "m", prompt: [1, 2, 3], temperature: 0, stream: true, suffix: null, echo: false, best_of: 1 },
];

export const GOOD_EMBEDDINGS: readonly object[] = [
  { model: "m", input: "1, 2, 3", encoding_format: "base64", user: "u", user_id: "u-1" },
  { model: "m", input: ["one", "two"], encoding_format: "float", dimensions: 8 },
  { model: "m", input: [[1, 2], [3]], dimensions: null },
  { model: "m", input: [1, 2, 3] },
];
