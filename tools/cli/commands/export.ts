/** An account's requests as a table for other programs: CSV, or JSON with --json. */
import { ulidTimeMs } from "@sluice/protocol/ids";
import { z } from "zod";
import type { Command } from "../command.ts";
import { momentMs } from "../values.ts";

const Row = z.looseObject({
  request: z.string(),
  key: z.string(),
  model: z.string(),
  region: z.string(),
  certainty: z.string(),
  ended: z.string(),
  promptTokens: z.number(),
  cachedTokens: z.number(),
  completionTokens: z.number(),
  reasoningTokens: z.number(),
  costUsd: z.string(),
  writeOffNanoUsd: z.number(),
  priceId: z.string(),
  admittedAtMs: z.number(),
  closedAtMs: z.number(),
});
const Page = z.looseObject({ usage: z.array(Row), next: z.string().nullable() });

const COLUMNS = [
  "request",
  "key",
  "model",
  "region",
  "admittedAt",
  "closedAt",
  "certainty",
  "ended",
  "promptTokens",
  "cachedTokens",
  "completionTokens",
  "reasoningTokens",
  "costUsd",
  "writeOffNanoUsd",
  "priceId",
] as const;

/** Quoted where it has to be; never a formula: a spreadsheet obeys a cell that begins like one. */
function csvCell(value: unknown): string {
  const text = String(value).replace(/^[=+@\t\r]/, "'$&");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const exports: readonly Command[] = [
  {
    name: "export",
    takes: ["account"],
    about: "Prints every request of an account as CSV, newest first, each as its newest revision has it.",
    options: {
      from: { value: "DATE", about: "admitted at or after this: 2027-01-31, or 2027-01-31T12:00Z" },
      to: { value: "DATE", about: "admitted before this" },
    },
    run: async ({ api, args: [account = ""], text }) => {
      const [from, to] = [text("from"), text("to")];
      const fromMs = from === undefined ? -Infinity : momentMs(from, "--from");
      const toMs = to === undefined ? Infinity : momentMs(to, "--to");
      const path = `/accounts/${encodeURIComponent(account)}/usage`;
      // Newest first by the time in the id: nothing before the beginning has to be asked for.
      const isPast = (page: z.infer<typeof Page>): boolean => {
        const oldest = page.usage.at(-1);
        return oldest !== undefined && ulidTimeMs(oldest.request) < fromMs - CLOCKS_APART_MS;
      };
      const pages = await api.list(Page, path, { limit: "200", all: true, until: isPast });
      const rows = pages
        .flatMap((page) => page.usage)
        .filter(({ admittedAtMs }) => admittedAtMs >= fromMs && admittedAtMs < toMs)
        .map((row) => ({
          ...row,
          admittedAt: new Date(row.admittedAtMs).toISOString(),
          closedAt: new Date(row.closedAtMs).toISOString(),
        }));
      const lines = rows.map((row) => COLUMNS.map((column) => csvCell(row[column])).join(","));
      return { json: { usage: rows }, text: [COLUMNS.join(","), ...lines].join("\n") };
    },
  },
];

/** A request's id is dated by a Worker, its admission by its account's object. */
const CLOCKS_APART_MS = 10 * 60_000;
