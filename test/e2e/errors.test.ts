/** Whatever a client sends, it hears precisely what was wrong, and never a 5xx. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { Stack, type Tenant } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;
let tenant: Tenant;

beforeAll(async () => {
  platform = await temporaryPlatform();
  stack = new Stack(platform);
  tenant = await stack.tenant();
});
afterAll(() => platform[Symbol.asyncDispose]());

type ErrorBody = {
  readonly error: {
    readonly message: string;
    readonly code: string;
    readonly param: string | null;
    readonly type: string;
  };
};

async function refused(
  response: Response,
): Promise<{ status: number; error: ErrorBody["error"]; headers: Headers }> {
  const { error } = (await response.json()) as ErrorBody;
  return { status: response.status, error, headers: response.headers };
}

const good = (): Record<string, unknown> => ({
  model: platform.model,
  messages: [{ role: "user", content: "hi" }],
});

test.each([
  ["JSON that is cut off", '{"model":', 400, null],
  ["a list", "[1,2]", 400, null],
  ["nothing", "", 400, null],
  ["no messages", '{"model":"deepseek-chat"}', 400, "messages"],
  [
    "a role nobody has",
    '{"model":"deepseek-chat","messages":[{"role":"boss","content":"x"}]}',
    400,
    "messages[0].role",
  ],
  [
    "max_tokens as text",
    '{"model":"deepseek-chat","messages":[{"role":"user","content":"x"}],"max_tokens":"9"}',
    400,
    "max_tokens",
  ],
  ["a model that is not there", '{"model":"gpt-9","messages":[{"role":"user","content":"x"}]}', 404, "model"],
])("%s is refused with the field that is wrong", async (_, body, status, param) => {
  const answer = await refused(await stack.post(tenant, body));
  expect(answer.status).toBe(status);
  expect(answer.error.param).toBe(param);
  expect(answer.headers.get("x-should-retry")).toBe("false");
  expect(answer.headers.get("x-request-id")).toMatch(/^req_/);
});

test("a body over four megabytes is too large, announced or not", async () => {
  const big = JSON.stringify({ ...good(), padding: "x".repeat(4 * 1024 * 1024) });
  expect((await refused(await stack.post(tenant, big))).status).toBe(413);
  const chunked = new Blob([big]).stream();
  const response = await stack.post(tenant, "", { body: chunked, duplex: "half" } as RequestInit);
  expect((await refused(response)).error.code).toBe("request_too_large");
});

test.each([
  ["no key", {}, "missing_api_key"],
  ["a key of somebody else's", { authorization: "Bearer sk-1234567890" }, "invalid_api_key"],
  ["another scheme", { authorization: "Basic abc" }, "invalid_api_key"],
])("with %s nothing is started", async (_, headers, code) => {
  const response = await stack.post(tenant, good(), {
    headers: { "content-type": "application/json", ...headers } as Record<string, string>,
  });
  const answer = await refused(response);
  expect([answer.status, answer.error.code]).toEqual([401, code]);
});

test("one changed letter makes a key garbage", async () => {
  const changed = `${tenant.apiKey.slice(0, -1)}${tenant.apiKey.endsWith("a") ? "b" : "a"}`;
  const answer = await refused(await stack.post({ ...tenant, apiKey: changed }, good()));
  expect(answer.error.code).toBe("invalid_api_key");
});

test("what the engine cannot do is said, with the parameter's name", async () => {
  const answer = await refused(await stack.post(tenant, { ...good(), functions: [{ name: "f" }] }));
  expect([answer.status, answer.error.code, answer.error.param]).toEqual([
    400,
    "unsupported_parameter",
    "functions",
  ]);
  await stack.settled(tenant, 5_000);
});

test("a prompt longer than the context is refused with both counts", async () => {
  const long = { ...good(), messages: [{ role: "user", content: "many words ".repeat(30_000) }] };
  const answer = await refused(await stack.post(tenant, long));
  expect([answer.status, answer.error.code]).toEqual([400, "context_length_exceeded"]);
  expect(answer.error.message).toMatch(/\d+ tokens.*\d+ tokens/);
});

test("a path nobody serves and a method nobody expects are told apart", async () => {
  const missing = await fetch(`${platform.baseUrl}/v1/nothing`);
  expect(missing.status).toBe(404);
  const method = await fetch(`${platform.baseUrl}/v1/chat/completions`);
  expect([method.status, method.headers.get("allow")]).toEqual([405, "POST"]);
  const keys = await fetch(`${platform.baseUrl}/v1/keys`, { method: "DELETE" });
  expect([keys.status, keys.headers.get("allow")]).toEqual([405, "GET, POST"]);
  expect(await keys.json()).toMatchObject({ error: { message: "Use GET or POST here." } });
});

test("headers of a client choose no host and no identity", async () => {
  const response = await stack.post(
    tenant,
    { ...good(), max_tokens: 3 },
    {
      headers: {
        authorization: `Bearer ${tenant.apiKey}`,
        "content-type": "application/json",
        "x-sluice-node": "node_0000000000",
        "x-sluice-mac": "k1:forged",
        "x-forwarded-host": "127.0.0.1:1",
        host: "127.0.0.1:1",
      },
    },
  );
  expect(response.status).toBe(200);
});

test("embeddings, which no model here makes, are refused in so many words", async () => {
  const wish = stack.sdk(tenant).embeddings.create({ model: "deepseek-chat", input: "hi" });
  await expect(wish).rejects.toMatchObject({ status: 400, code: "unsupported_parameter", param: "model" });
});
