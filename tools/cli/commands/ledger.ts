/** What moved an account's balance: credits, and usage batch by batch. */
import { z } from "zod";
import { PAGED, type Command } from "../command.ts";
import { table } from "../table.ts";
import { printTime } from "../values.ts";
import { withMore } from "./accounts.ts";

const Page = z.looseObject({
  ledger: z.array(
    z.looseObject({
      seq: z.number(),
      kind: z.string(),
      amountUsd: z.string(),
      events: z.number(),
      note: z.string(),
      atMs: z.number(),
    }),
  ),
  next: z.string().nullable(),
});

export const ledger: readonly Command[] = [
  {
    name: "ledger",
    takes: ["account"],
    about: "Lists what moved an account's balance, newest first. Its sum is the balance.",
    options: PAGED,
    run: async ({ api, args: [account = ""], text, on }) => {
      const page = { limit: text("limit"), cursor: text("cursor"), all: on("all") };
      const pages = await api.list(Page, `/accounts/${encodeURIComponent(account)}/ledger`, page);
      const rows = pages.flatMap((page) => page.ledger);
      const next = pages.at(-1)?.next ?? null;
      const lines = rows.map((row) => [
        row.seq,
        printTime(row.atMs),
        row.kind,
        row.amountUsd.startsWith("-") ? `-$${row.amountUsd.slice(1)}` : `$${row.amountUsd}`,
        row.events,
        row.note,
      ]);
      const head = ["EVENT", "WHEN", "KIND", "AMOUNT", "EVENTS", "NOTE"];
      return { json: { ledger: rows, next }, text: withMore(table(head, lines), next) };
    },
  },
];
