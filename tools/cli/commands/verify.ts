/** Checks one request's bill against what its nodes signed: with the operator's token, or with the account's own key. */
import { z } from "zod";
import { requestIdOf } from "../../../src/wire/call.ts";
import { checkBill, Generation, NodeKeys, type BillCheck } from "../check-bill.ts";
import type { Command } from "../command.ts";
import { Complaint, EXIT } from "../complaint.ts";
import { sheet, table } from "../table.ts";

const Found = z.looseObject({ generation: z.looseObject({ state: z.string() }) });
const Running = z.looseObject({ state: z.string() });

/** Where no node's word stands behind the bill, or none was needed. */
const PROVED_WITHOUT_RECEIPT = "PROVED: no node made anything for this bill, and the price makes the cost.";
const VERDICTS = {
  proved: "PROVED: the nodes signed what was billed, and the price makes the cost.",
  unproved: "NOT PROVED: nothing contradicts the bill, and nothing proves it.",
  wrong: "WRONG: the bill is not what the nodes signed.",
} as const;

function lines(generation: Generation, check: BillCheck): string {
  const { usage, cost } = generation;
  const attempts = table(
    ["ATTEMPT", "NODE", "REGION", "FROM", "TO", "ENDED", "RECEIPT"],
    check.attempts.map((one) => [
      one.ordinal,
      one.node,
      one.region,
      one.from ?? "-",
      one.to,
      one.ended,
      one.receipt,
    ]),
  );
  const nano = check.recomputedNanoUsd;
  const bill = sheet([
    ["request", generation.id],
    ["model", generation.model],
    ["certainty", `${generation.certainty}, ended ${generation.ended}`],
    ["prompt", `${usage.prompt_tokens} tokens, ${usage.prompt_tokens_details.cached_tokens} of them cached`],
    ["output", `${usage.completion_tokens} tokens`],
    ["billed", `$${cost.amount} (${cost.nano_usd} nano-dollars)`],
    ["recomputed", nano === null ? "-" : `${nano} nano-dollars under price ${generation.price.id}`],
    ...(cost.write_off_nano_usd === 0
      ? []
      : ([["written off", `${cost.write_off_nano_usd} nano-dollars, borne by the operator`]] as const)),
  ]);
  const why = check.why.map((sentence) => `  ${sentence}`);
  const isBare = check.verdict === "proved" && check.attempts.every(({ from }) => from === null);
  const verdict = isBare ? PROVED_WITHOUT_RECEIPT : VERDICTS[check.verdict];
  return [bill, "", attempts, "", verdict, ...why].join("\n");
}

export const verify: readonly Command[] = [
  {
    name: "verify",
    takes: ["request"],
    about:
      "Checks a request's bill: the receipts' signatures against the nodes' published keys, the counts, and the cost from the price.",
    options: {
      "api-key": { value: "KEY", about: "an account's own key, in place of the admin token" },
      account: {
        value: "ACCOUNT",
        about: "whose request it is; looked for where not given",
        field: "account",
      },
    },
    run: async ({ api, args: [typed = ""], text }) => {
      const request = requestIdOf(typed);
      const id = encodeURIComponent(request);
      const account = text("account");
      const query = account === undefined ? "" : `?account=${encodeURIComponent(account)}`;
      const raw =
        text("api-key") === undefined
          ? (await api.call(Found, "GET", `/generations/${id}${query}`)).generation
          : await api.get(Running, `/v1/generation?id=${id}`);
      if (raw.state === "running")
        throw new Complaint(EXIT.refused, `${request} is still running`, {
          next: "try again when it has ended",
        });
      const generation = Generation.parse(raw);
      const keys = await api.get(NodeKeys, "/.well-known/sluice-node-keys.json");
      const check = await checkBill(generation, keys);
      return {
        json: { request, ...check, generation },
        text: lines(generation, check),
        exit: check.verdict === "wrong" ? EXIT.refused : EXIT.ok,
      };
    },
  },
];
