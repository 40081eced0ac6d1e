/**
 * What a platform needs before the first call can be answered and billed: an account with credit and a key, and prices
 * for what its nodes serve. Made once; a later start finds it and changes nothing, an operator's own prices least of all.
 * A key that opens nothing any more (revoked, or its secret is gone) gets a successor: what `npm start` prints, works.
 */
import type { AdminClient, KnownNode } from "./admin-client.ts";

const DEV_CREDIT_USD = "100.00";
/** Of the order of what small models are sold for, in micro-dollars per million tokens. */
const PRICE = { inputMicroUsdPerM: 100_000, cachedMicroUsdPerM: 10_000, outputMicroUsdPerM: 400_000 };
const OUTPUT_TOKENS_DEFAULT_MAX = 4_096;

export async function seedAccount(
  admin: AdminClient,
  known: { readonly account?: string | undefined; readonly apiKey?: string | undefined },
): Promise<{ readonly account: string; readonly apiKey: string }> {
  if (known.account !== undefined && known.apiKey !== undefined && (await admin.opens(known.apiKey)))
    return { account: known.account, apiKey: known.apiKey };
  const lives = known.account !== undefined && (await admin.accountLives(known.account));
  const account = known.account !== undefined && lives ? known.account : await admin.makeAccount("dev");
  // One id credits once.
  await admin.credit(account, "first-start", DEV_CREDIT_USD);
  return { account, apiKey: await admin.makeKey(account, "dev") };
}

/** Offers what the nodes serve. The first model also answers to the names that existing clients use. */
export async function seedCatalogue(admin: AdminClient, nodes: readonly KnownNode[]): Promise<string> {
  const served = new Map(nodes.flatMap((node) => node.live?.models ?? []).map((model) => [model.id, model]));
  const known = new Set(await admin.models());
  for (const { id, contextTokens } of served.values()) {
    if (known.has(id)) continue;
    const outputTokensDefault = Math.min(OUTPUT_TOKENS_DEFAULT_MAX, Math.ceil(contextTokens / 2));
    await admin.putModel(id, { contextTokens, outputTokensDefault, price: PRICE });
  }
  const [first = ""] = served.keys();
  if (!known.has(first)) {
    await admin.putAlias("deepseek-chat", first, false);
    await admin.putAlias("deepseek-reasoner", first, true);
  }
  return first;
}
