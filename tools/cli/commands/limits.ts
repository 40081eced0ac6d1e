/**
 * The limits an account or a key can have, as options to type and as lines to read, and the command that shows and sets
 * them. Days and months are UTC's.
 */
import { z } from "zod";
import type { Command, Option, Run } from "../command.ts";
import { sheet } from "../table.ts";
import { limit, limitUsd, printUsd } from "../values.ts";

/** Option, the API's field, what it limits, and whether it is money. */
const FIELDS = [
  ["rpm", "requestsPerMinute", "requests per minute", false],
  ["tpm", "tokensPerMinute", "tokens per minute, prompt and output together", false],
  ["rpd", "requestsPerDay", "requests per day (UTC)", false],
  ["concurrency", "concurrency", "requests at once", false],
  ["budget-day", "budgetDayNanoUsd", "dollars per day (UTC)", true],
  ["budget-month", "budgetMonthNanoUsd", "dollars per month (UTC)", true],
  ["budget-total", "budgetTotalNanoUsd", "dollars in all", true],
] as const;

export const LIMITS: { readonly [name: string]: Option } = Object.fromEntries(
  FIELDS.map(([option, field, about, isMoney]) => [
    option,
    { value: isMoney ? "USD" : "N", about: `${about}, or "none"`, field },
  ]),
);

/** The limits that were typed; what was not is left as it is. */
export function limitsOf(run: Run): { readonly [field: string]: number | null } {
  const typed = FIELDS.flatMap(([option, field, , isMoney]) => {
    const text = run.text(option);
    if (text === undefined) return [];
    const name = `--${option}`;
    return [[field, isMoney ? limitUsd(text, name) : limit(text, name)] as const];
  });
  return Object.fromEntries(typed);
}

const Limited = z.looseObject({
  requestsPerMinute: z.number().nullish(),
  tokensPerMinute: z.number().nullish(),
  requestsPerDay: z.number().nullish(),
  concurrency: z.number().nullish(),
  budgetDayNanoUsd: z.number().nullish(),
  budgetMonthNanoUsd: z.number().nullish(),
  budgetTotalNanoUsd: z.number().nullish(),
  used: z
    .looseObject({
      requestsToday: z.number(),
      spentTodayNanoUsd: z.number(),
      spentThisMonthNanoUsd: z.number(),
      spentNanoUsd: z.number(),
      open: z.number(),
    })
    .optional(),
});

/** Those that are set, with how much of each is used. */
export function limitLines(answer: unknown): (readonly [string, string])[] {
  const of = Limited.parse(answer);
  const { used } = of;
  const usedOf: { readonly [field: string]: number | undefined } = {
    requestsPerDay: used?.requestsToday,
    concurrency: used?.open,
    budgetDayNanoUsd: used?.spentTodayNanoUsd,
    budgetMonthNanoUsd: used?.spentThisMonthNanoUsd,
    budgetTotalNanoUsd: used?.spentNanoUsd,
  };
  return FIELDS.flatMap(([option, field, about, isMoney]) => {
    const max = of[field];
    if (max === null || max === undefined) return [];
    const print = (amount: number): string => (isMoney ? `$${printUsd(amount)}` : String(amount));
    const so = usedOf[field];
    return [[option, `${print(max)}, ${about}${so === undefined ? "" : `; used ${print(so)}`}`] as const];
  });
}

const Holder = z.looseObject({ account: z.unknown().optional(), key: z.unknown().optional() });

export const limits: readonly Command[] = [
  {
    name: "limits",
    takes: ["account", "key?"],
    about:
      "Shows the limits of an account, or of one of its keys, and how much is used; with options, sets them.",
    options: LIMITS,
    run: async (run) => {
      const [account = "", key] = run.args;
      const ofKey = key === undefined ? "" : `/keys/${encodeURIComponent(key)}`;
      const path = `/accounts/${encodeURIComponent(account)}${ofKey}`;
      const typed = limitsOf(run);
      const sets = Object.keys(typed).length > 0;
      const answer = sets
        ? await run.api.call(Holder, "PATCH", path, typed)
        : await run.api.call(Holder, "GET", path);
      const lines = limitLines(key === undefined ? answer.account : answer.key);
      return { json: answer, text: lines.length === 0 ? "There are none." : sheet(lines) };
    },
  },
];
