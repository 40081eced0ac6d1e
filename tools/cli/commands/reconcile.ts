/** Compares the books of one account; or of all, and then what the nodes journalled and was never billed. */
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
const Nodes = z.looseObject({
  nodes: z.array(z.looseObject({ id: z.string(), removedAtMs: z.number().nullable() })),
  next: z.string().nullable(),
});
const Walked = z.looseObject({
  node: z.string(),
  reached: z.boolean(),
  listed: z.number(),
  differences: z.array(
    z.looseObject({
      what: z.string(),
      account: z.string().nullable(),
      request: z.string(),
      ordinal: z.number(),
      positions: z.number(),
    }),
  ),
  cursor: z.string(),
  more: z.boolean(),
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

/** Every node's journal from its beginning: what of it was never billed. */
async function walkNodes(api: AdminApi): Promise<z.infer<typeof Walked>[]> {
  const pages = await api.list(Nodes, "/nodes", { limit: "200", all: true });
  const nodes = pages.flatMap((page) => page.nodes.filter(({ removedAtMs }) => removedAtMs === null));
  const walked: z.infer<typeof Walked>[] = [];
  for (const { id } of nodes) {
    let cursor = "";
    for (let call = 0; call < CALLS_MAX; call++) {
      const stretch = await api.call(Walked, "POST", "/reconcile/journal", { node: id, cursor });
      walked.push(stretch);
      ({ cursor } = stretch);
      if (!stretch.more) break;
    }
  }
  return walked;
}

function printNodes(walked: readonly z.infer<typeof Walked>[]): string {
  if (walked.length === 0) return "";
  const ids = [...new Set(walked.map(({ node }) => node))];
  const lines = ids.map((id) => {
    const stretches = walked.filter(({ node }) => node === id);
    const sum = (of: (one: z.infer<typeof Walked>) => number): number =>
      stretches.reduce((total, one) => total + of(one), 0);
    const listed = stretches.every(({ reached }) => reached) ? sum((one) => one.listed) : "away";
    return [id, listed, sum((one) => one.differences.length)];
  });
  const found = walked.flatMap(({ node, differences }) =>
    differences.map((one) => [node, one.what, one.account ?? "-", one.request, one.ordinal, one.positions]),
  );
  const head = ["NODE", "ATTEMPTS IN ITS JOURNAL", "DIFFERENCES"];
  const told =
    found.length === 0
      ? ""
      : `\n\n${table(["NODE", "WHAT", "ACCOUNT", "REQUEST", "ATTEMPT", "POSITIONS"], found)}`;
  return `\n\n${table(head, lines)}${told}`;
}

export const reconcile: readonly Command[] = [
  {
    name: "reconcile",
    takes: ["account?"],
    about:
      "Compares object, ledger, usage, rollups and the nodes' journals of an account, or of all; repairs D1 where the object can. Of all: also what nodes journalled and was never billed.",
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
      const nodes = account === undefined ? await walkNodes(api) : [];
      const open =
        results.some((result) => result.differences.some(({ repaired }) => !repaired)) ||
        nodes.some(({ differences }) => differences.length > 0);
      return {
        json: account === undefined ? { results, nodes } : { results },
        text: `${table(head, lines)}\n\n${found}${printNodes(nodes)}`,
        exit: open ? EXIT.refused : EXIT.ok,
      };
    },
  },
];
