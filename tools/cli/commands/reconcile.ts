/** Compares the books of one account, or of all. */
import { z } from "zod";
import type { AdminApi } from "../api.ts";
import type { Command } from "../command.ts";
import { EXIT } from "../complaint.ts";
import { table } from "../table.ts";
import { printUsd, whole } from "../values.ts";

const Result = z.looseObject({
  account: z.string(),
  comparedSeq: z.number(),
  balanceNanoUsd: z.number(),
  ledgerNanoUsd: z.number(),
  complete: z.boolean(),
  journals: z.looseObject({ asked: z.number(), unreachable: z.number() }),
  differences: z.array(
    z.looseObject({
      what: z.string(),
      detail: z.string(),
      expected: z.number().nullable(),
      found: z.number().nullable(),
      repaired: z.boolean(),
    }),
  ),
});
const Accounts = z.looseObject({
  accounts: z.array(z.looseObject({ id: z.string() })),
  next: z.string().nullable(),
});
/** A ledger longer than one call adds up is compared in this many calls at most. */
const CALLS_MAX = 1_000;

async function compare(
  api: AdminApi,
  account: string,
  body: { readonly whole: boolean; readonly journals?: number },
): Promise<z.infer<typeof Result>[]> {
  const results: z.infer<typeof Result>[] = [];
  let ask = { account, ...body };
  while (results.length < CALLS_MAX) {
    const result = await api.call(Result, "POST", "/reconcile", ask);
    results.push(result);
    if (result.complete || result.differences.some(({ repaired }) => !repaired)) break;
    ask = { ...ask, whole: false };
  }
  return results;
}

export const reconcile: readonly Command[] = [
  {
    name: "reconcile",
    takes: ["account?"],
    about:
      "Compares object, ledger, usage, rollups and the nodes' journals of an account, or of all; repairs D1 where the object can.",
    options: {
      whole: {
        about: "from the ledger's beginning, not from where the last comparison ended",
        field: "whole",
      },
      journals: {
        value: "N",
        about: "newest requests to look up on their nodes, 10 where not given",
        field: "journals",
      },
    },
    run: async ({ api, args: [account], text, on }) => {
      const journals = text("journals");
      const body = {
        whole: on("whole"),
        ...(journals === undefined ? {} : { journals: whole(journals, "--journals") }),
      };
      const ids =
        account === undefined
          ? (await api.list(Accounts, "/accounts", { limit: "200", all: true })).flatMap((page) =>
              page.accounts.map(({ id }) => id),
            )
          : [account];
      const results: z.infer<typeof Result>[] = [];
      for (const id of ids) results.push(...(await compare(api, id, body)));
      const differences = results.flatMap((result) =>
        result.differences.map((one) => [
          result.account,
          one.what,
          one.expected ?? "-",
          one.found ?? "-",
          one.repaired ? "repaired" : "OPEN",
          one.detail,
        ]),
      );
      const lines = results.map((result) => [
        result.account,
        result.comparedSeq,
        `$${printUsd(result.balanceNanoUsd)}`,
        `${result.journals.asked - result.journals.unreachable}/${result.journals.asked}`,
        result.differences.length,
      ]);
      const head = ["ACCOUNT", "THROUGH EVENT", "BALANCE", "JOURNALS", "DIFFERENCES"];
      const found =
        differences.length === 0
          ? "No differences."
          : table(["ACCOUNT", "WHAT", "EXPECTED", "FOUND", "STATE", "DETAIL"], differences);
      const open = results.some((result) => result.differences.some(({ repaired }) => !repaired));
      return {
        json: { results },
        text: `${table(head, lines)}\n\n${found}`,
        exit: open ? EXIT.refused : EXIT.ok,
      };
    },
  },
];
