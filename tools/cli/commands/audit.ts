/** Who changed what, newest first. */
import { z } from "zod";
import { PAGED, type Command } from "../command.ts";
import { table } from "../table.ts";
import { printTime } from "../values.ts";
import { withMore } from "./accounts.ts";

const Page = z.looseObject({
  audit: z.array(
    z.looseObject({
      atMs: z.number(),
      actor: z.string(),
      action: z.string(),
      target: z.string(),
      status: z.number().nullable(),
    }),
  ),
  next: z.string().nullable(),
});

export const audit: readonly Command[] = [
  {
    name: "audit",
    takes: [],
    about: "Lists what was changed over the admin interface, by whom, and how it ended.",
    options: {
      actor: {
        value: "KEY",
        about: "an admin key's id, or \"token\" for the operator's own",
        field: "actor",
      },
      ...PAGED,
    },
    run: async ({ api, text, on }) => {
      const actor = text("actor");
      const path = actor === undefined ? "/audit" : `/audit?actor=${encodeURIComponent(actor)}`;
      const page = { limit: text("limit"), cursor: text("cursor"), all: on("all") };
      const pages = await api.list(Page, path, page);
      const rows = pages.flatMap((page) => page.audit);
      const next = pages.at(-1)?.next ?? null;
      const lines = rows.map((row) => [
        printTime(row.atMs),
        row.actor,
        row.action,
        row.target,
        row.status === null ? "unknown" : String(row.status),
      ]);
      const head = ["WHEN", "WHO", "DID", "TO", "STATUS"];
      return { json: { audit: rows, next }, text: withMore(table(head, lines), next) };
    },
  },
];
