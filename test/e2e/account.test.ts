/** What a customer can find out about a bill, and check, on the whole platform: over HTTP and with the operator's tool. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { cli } from "../../tools/cli/cli.ts";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, Stack, type Tenant } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

beforeAll(async () => {
  platform = await temporaryPlatform();
  stack = new Stack(platform);
});
afterAll(() => platform[Symbol.asyncDispose]());

// oxlint-disable-next-line typescript/no-explicit-any -- looked at field by field
async function get(tenant: Tenant, path: string): Promise<any> {
  const headers = { authorization: `Bearer ${tenant.apiKey}` };
  return (await fetch(`${platform.baseUrl}${path}`, { headers })).json();
}

async function sluice(...words: string[]): Promise<{ exit: number; out: string }> {
  let out = "";
  const exit = await cli([...words, "--url", platform.baseUrl], {
    env: { SLUICE_URL: platform.baseUrl, SLUICE_ADMIN_TOKEN: platform.adminToken },
    folder: ".",
    readSecret: () => Promise.reject(new Error("nobody is asked")),
    print: (text) => (out += text),
    printError: (text) => (out += text),
  });
  return { exit, out };
}

test("a request's cost can be asked for while it runs and after, checked against the node's signature, and added up", async () => {
  const tenant = await stack.tenant({ creditUsd: "1" });
  const answer = await stack.sdk(tenant).chat.completions.create({
    model: platform.model,
    max_tokens: 20,
    messages: stack.script({ tokens: 12, think: 0 }),
  });
  const path = `/v1/generation?id=${answer.id}`;
  const generation = await eventually("the bill", 10_000, async () => {
    const found = await get(tenant, path);
    return found.state === "closed" ? found : undefined;
  });
  expect(generation).toMatchObject({
    completion_id: answer.id,
    certainty: "exact",
    ended: "stop",
    usage: { completion_tokens: answer.usage?.completion_tokens, prompt_tokens: answer.usage?.prompt_tokens },
    attempts: [{ ordinal: 0, node: expect.stringMatching(/^node_/), region: platform.nodes[0]?.region }],
  });
  expect(generation.attempts[0].receipt.body).toContain(generation.id);

  await stack.onlyRow(tenant, 10_000);
  const byOwner = await sluice("verify", answer.id, "--api-key", tenant.apiKey);
  expect(byOwner.out).toContain("PROVED: the nodes signed what was billed");
  expect(byOwner.exit).toBe(0);
  const byOperator = await sluice("verify", generation.id, "--json");
  expect(JSON.parse(byOperator.out)).toMatchObject({
    verdict: "proved",
    recomputedNanoUsd: generation.cost.nano_usd,
  });

  // The node's own journal is one of the books.
  const compared = await sluice("reconcile", tenant.account, "--json");
  expect(JSON.parse(compared.out).results).toMatchObject([
    { differences: [], complete: true, journals: { asked: 1, unreachable: 0 } },
  ]);

  const [balance, key, usage] = await Promise.all([
    get(tenant, "/user/balance"),
    get(tenant, "/v1/key"),
    get(tenant, "/v1/usage?bucket_width=1h&group_by=model"),
  ]);
  const spent = generation.cost.nano_usd / 1e9;
  expect(Number(balance.balance_infos[0].total_balance)).toBeCloseTo(1 - spent, 9);
  expect(Number(key.spend.total)).toBeCloseTo(spent, 9);
  // oxlint-disable-next-line typescript/no-explicit-any -- as above
  const results = usage.data.flatMap((bucket: any) => bucket.results);
  expect(results).toMatchObject([{ model: platform.model, num_model_requests: 1, output_tokens: 13 }]);
});
