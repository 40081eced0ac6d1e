/** Checking a bill: what the nodes signed proves it, and nothing that was bent afterwards passes. */
import { toBase64Url } from "@sluice/protocol/bytes";
import { signReceipt, type Receipt } from "@sluice/protocol/receipt";
import { describe, test } from "vitest";
import { checkBill, type Generation } from "../../../tools/cli/check-bill.ts";
import { keyPair, NODE, OTHER_NODE, receipt as example, REQUEST } from "../protocol/support.ts";

const [mine, others] = await Promise.all([keyPair(), keyPair()]);
const rawOf = async (key: CryptoKey): Promise<string> =>
  toBase64Url(new Uint8Array(await crypto.subtle.exportKey("raw", key)));
const KEYS = {
  keys: [
    { kid: OTHER_NODE, x: await rawOf(others.publicKey) },
    { kid: NODE, x: await rawOf(mine.publicKey) },
  ],
};

function receiptOf(more: Partial<Receipt>): Receipt {
  return {
    ...example,
    request: REQUEST,
    node: NODE,
    ordinal: 1,
    from: 3,
    to: 34,
    prompt: 24,
    cached: 8,
    ...more,
  };
}

/** Cut after three positions, continued by another node; 24 prompt tokens, 8 of them cached. */
async function bill(more: Partial<Receipt> = {}, key = mine.privateKey): Promise<Generation> {
  return {
    id: REQUEST,
    state: "closed",
    model: "tiny",
    certainty: "exact",
    ended: "stop",
    usage: { prompt_tokens: 24, completion_tokens: 34, prompt_tokens_details: { cached_tokens: 8 } },
    cost: { amount: "0.00001528", nano_usd: 15_280, write_off_nano_usd: 0 },
    price: {
      id: "price_1",
      input_micro_usd_per_m: 100_000,
      cached_micro_usd_per_m: 10_000,
      output_micro_usd_per_m: 400_000,
      hit_input_micro_usd_per_m: 0,
      hit_output_micro_usd_per_m: 0,
    },
    attempts: [
      { ordinal: 0, node: OTHER_NODE, region: "eu-1", ended: "node_lost", to: 3, receipt: null },
      {
        ordinal: 1,
        node: NODE,
        region: "us-1",
        ended: "stop",
        to: 34,
        receipt: await signReceipt(key, receiptOf(more)),
      },
    ],
  };
}

describe("a bill", () => {
  test("is proved by the receipt of the node that ended it", async ({ expect }) => {
    expect(await checkBill(await bill(), KEYS)).toMatchObject({
      verdict: "proved",
      recomputedNanoUsd: 15_280,
      attempts: [
        { receipt: "no receipt", to: 3 },
        { receipt: "signed", from: 3, to: 34 },
      ],
      why: [],
    });
  });

  test("is wrong where the receipt was signed by another, or changed afterwards", async ({ expect }) => {
    const forged = await checkBill(await bill({}, others.privateKey), KEYS);
    expect(forged).toMatchObject({ verdict: "wrong", why: ["attempt 1: the signature is not that node's"] });
    const bent = await bill();
    const [, attempt] = bent.attempts;
    if (attempt?.receipt) attempt.receipt.body = attempt.receipt.body.replace('"to":34', '"to":35');
    expect((await checkBill(bent, KEYS)).verdict).toBe("wrong");
    expect((await checkBill(await bill(), { keys: [] })).why[0]).toContain("no key of");
  });

  const LIES: readonly (readonly [string, Partial<Receipt>, string])[] = [
    ["another request", { request: REQUEST.replace("01JD", "01JE") }, "of another attempt"],
    ["another attempt", { ordinal: 2 }, "of another attempt"],
    ["fewer positions", { to: 33 }, "33 positions, not 34"],
    ["a smaller prompt", { prompt: 23 }, "23 prompt tokens"],
    ["more from the cache", { cached: 9 }, "9 cached"],
    ["a beginning nobody had come to", { from: 4 }, "nobody had come beyond 3"],
  ];
  test.for(LIES)("is wrong where the receipt tells of %s", async ([, lie, says], { expect }) => {
    const { verdict, why } = await checkBill(await bill(lie), KEYS);
    expect(verdict).toBe("wrong");
    expect(why.join()).toContain(says);
  });

  test("is wrong where counts times price are not the cost", async ({ expect }) => {
    const dear = { ...(await bill()), cost: { amount: "1", nano_usd: 15_281, write_off_nano_usd: 0 } };
    expect(await checkBill(dear, KEYS)).toMatchObject({ verdict: "wrong", recomputedNanoUsd: 15_280 });
    const shared = { ...(await bill()), cost: { amount: "1", nano_usd: 15_000, write_off_nano_usd: 280 } };
    expect((await checkBill(shared, KEYS)).verdict).toBe("proved");
  });

  test("is not called proved where nothing proves it", async ({ expect }) => {
    const whole = await bill();
    const attempts = whole.attempts.map((attempt) => ({ ...attempt, receipt: null }));
    const estimated = await checkBill({ ...whole, certainty: "estimated", attempts }, KEYS);
    expect(estimated).toMatchObject({ verdict: "unproved", why: ["it is estimated: no receipt closed it"] });
    expect((await checkBill({ ...whole, attempts }, KEYS)).why).toEqual(["no receipt is kept with it"]);
    expect((await checkBill({ ...whole, price: { id: "price_0" } }, KEYS)).verdict).toBe("unproved");
  });

  test("of a cached answer is its own price, and of one that was never delivered nothing", async ({
    expect,
  }) => {
    const whole = await bill();
    const free = { ...whole, attempts: [], cost: { amount: "0.00", nano_usd: 0, write_off_nano_usd: 0 } };
    expect((await checkBill({ ...free, ended: "recalled" }, KEYS)).verdict).toBe("proved");
    const none = { prompt_tokens: 0, completion_tokens: 0, prompt_tokens_details: { cached_tokens: 0 } };
    expect((await checkBill({ ...free, ended: "node_lost", usage: none }, KEYS)).verdict).toBe("proved");
  });
});
