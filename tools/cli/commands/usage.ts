/** What an account used: its latest requests, or every revision of one. */
import { z } from "zod";
import { PAGED, type Command } from "../command.ts";
import { table } from "../table.ts";
import { printTime } from "../values.ts";
import { withMore } from "./accounts.ts";

const Row = z.looseObject({
  request: z.string(),
  revision: z.number(),
  model: z.string(),
  certainty: z.string(),
  ended: z.string(),
  promptTokens: z.number(),
  cachedTokens: z.number(),
  completionTokens: z.number(),
  costUsd: z.string(),
  closedAtMs: z.number(),
});
const Page = z.looseObject({ usage: z.array(Row), next: z.string().nullable() });
const One = z.looseObject({ request: z.string(), revisions: z.array(Row) });

const HEAD = [
  "REQUEST",
  "REV",
  "MODEL",
  "PROMPT",
  "CACHED",
  "OUTPUT",
  "COST",
  "CERTAINTY",
  "ENDED",
  "CLOSED",
];

function lines(rows: readonly z.infer<typeof Row>[]): string {
  return table(
    HEAD,
    rows.map((row) => [
      row.request,
      row.revision,
      row.model,
      row.promptTokens,
      row.cachedTokens,
      row.completionTokens,
      `$${row.costUsd}`,
      row.certainty,
      row.ended,
      printTime(row.closedAtMs),
    ]),
  );
}

export const usage: readonly Command[] = [
  {
    name: "usage",
    takes: ["account", "request?"],
    about: "Lists the latest requests of an account; with a request, every revision of it.",
    options: PAGED,
    run: async ({ api, args: [account = "", request], text, on }) => {
      const path = `/accounts/${encodeURIComponent(account)}/usage`;
      if (request !== undefined) {
        const one = await api.call(One, "GET", `${path}/${encodeURIComponent(request)}`);
        return { json: one, text: lines(one.revisions) };
      }
      const page = { limit: text("limit"), cursor: text("cursor"), all: on("all") };
      const pages = await api.list(Page, path, page);
      const rows = pages.flatMap((page) => page.usage);
      const next = pages.at(-1)?.next ?? null;
      return { json: { usage: rows, next }, text: withMore(lines(rows), next) };
    },
  },
];
