/** Alerts: what happened that should not have. */
import { z } from "zod";
import { PAGED, type Command } from "../command.ts";
import { table } from "../table.ts";
import { printTime } from "../values.ts";
import { withMore } from "./accounts.ts";

const Page = z.looseObject({
  alerts: z.array(
    z.looseObject({
      id: z.string(),
      kind: z.string(),
      subject: z.string(),
      detail: z.string(),
      times: z.number(),
      lastAtMs: z.number(),
      seenAtMs: z.number().nullable(),
    }),
  ),
  next: z.string().nullable(),
});
const Seen = z.looseObject({ seen: z.number() });

export const alerts: readonly Command[] = [
  {
    name: "alerts",
    takes: [],
    about: "Lists what nobody has seen yet: one line per kind, account or node, and day.",
    options: { seen: { about: "those that were seen, too" }, ...PAGED },
    run: async ({ api, text, on }) => {
      const page = { limit: text("limit"), cursor: text("cursor"), all: on("all") };
      const pages = await api.list(Page, on("seen") ? "/alerts?all=true" : "/alerts", page);
      const rows = pages.flatMap((page) => page.alerts);
      const next = pages.at(-1)?.next ?? null;
      const lines = rows.map((row) => [
        row.kind,
        row.subject,
        row.times,
        printTime(row.lastAtMs),
        row.seenAtMs === null ? "new" : "seen",
        row.detail,
      ]);
      const said =
        rows.length === 0
          ? "Nothing."
          : table(["KIND", "ABOUT", "TIMES", "LAST", "STATE", "THE LAST TIME"], lines);
      return { json: { alerts: rows, next }, text: withMore(said, next) };
    },
  },
  {
    name: "alerts seen",
    takes: [],
    about: "Marks all alerts as seen. One that happens again is new again.",
    options: {},
    run: async ({ api }) => {
      const done = await api.call(Seen, "POST", "/alerts/seen");
      return { json: done, text: `${done.seen} marked as seen.` };
    },
  },
];
