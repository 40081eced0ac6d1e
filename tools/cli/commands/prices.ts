/** The price book: what a model costs now, has cost, and will cost; with windows of the day that cost something else. */
import { z } from "zod";
import type { Command, Option, Run, Said } from "../command.ts";
import { misused } from "../complaint.ts";
import { plain, table } from "../table.ts";
import { microUsd, momentMs, printMicroUsd, printTime } from "../values.ts";

const Rates = z.looseObject({
  inputMicroUsdPerM: z.number(),
  cachedMicroUsdPerM: z.number(),
  outputMicroUsdPerM: z.number(),
  hitInputMicroUsdPerM: z.number().default(0),
  hitOutputMicroUsdPerM: z.number().default(0),
});
const Price = Rates.extend({
  id: z.string(),
  effectiveFromMs: z.number(),
  zone: z.string().nullable(),
  windows: z.array(
    Rates.extend({
      id: z.string(),
      from: z.string(),
      to: z.string(),
      days: z.array(z.number()).nullable(),
    }),
  ),
});
const Book = z.looseObject({ model: z.string(), inForce: z.string().nullable(), prices: z.array(Price) });
const Posted = z.looseObject({ model: z.string(), price: Price.nullable() });

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const RATES: { readonly [name: string]: Option } = {
  input: { value: "USD", about: "dollars per million input tokens (needed)", field: "inputMicroUsdPerM" },
  cached: { value: "USD", about: "per million found in the cache (needed)", field: "cachedMicroUsdPerM" },
  output: { value: "USD", about: "per million output tokens (needed)", field: "outputMicroUsdPerM" },
  "hit-input": {
    value: "USD",
    about: "per million prompt tokens of a cached answer; nothing where not given",
    field: "hitInputMicroUsdPerM",
  },
  "hit-output": {
    value: "USD",
    about: "per million output tokens of a cached answer",
    field: "hitOutputMicroUsdPerM",
  },
  zone: { value: "ZONE", about: "whose wall clock the windows go by, like Asia/Shanghai", field: "zone" },
  windows: {
    value: "LIST",
    about: 'other rates at times of day, input/cached/output: "01:00-04:00 mon-fri 0.54/0.14/2.2; ..."',
    field: "windows",
  },
};

/** "mon-fri", "sat,sun". */
function daysOf(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const [first = "", last = first] = part.split("-");
    const [from, to] = [DAYS.indexOf(first) + 1, DAYS.indexOf(last) + 1];
    if (from === 0 || to === 0 || from > to)
      throw misused(`--windows: "${part}" are no days`, "write them like mon-fri or sat,sun");
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

function windowsOf(text: string): object[] {
  return text
    .split(";")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => {
      const match = /^(\d\d:\d\d)-(\d\d:\d\d)(?: ([a-z,-]+))? ([\d.]+)\/([\d.]+)\/([\d.]+)$/.exec(part);
      if (match === null)
        throw misused(
          `--windows: "${part}" is no window`,
          'write it like "01:00-04:00 mon-fri 0.54/0.14/2.2"',
        );
      const [, from, to, days, input = "", cached = "", output = ""] = match;
      return {
        from,
        to,
        ...(days === undefined ? {} : { days: daysOf(days) }),
        inputMicroUsdPerM: microUsd(input, "--windows"),
        cachedMicroUsdPerM: microUsd(cached, "--windows"),
        outputMicroUsdPerM: microUsd(output, "--windows"),
      };
    });
}

async function post(run: Run, from: string | undefined): Promise<Said> {
  const { text, args, api } = run;
  const [input, cached, output] = [text("input"), text("cached"), text("output")];
  if (input === undefined || cached === undefined || output === undefined)
    throw misused("a price needs --input, --cached and --output together");
  const [hitInput, hitOutput, zone, windows] = [
    text("hit-input"),
    text("hit-output"),
    text("zone"),
    text("windows"),
  ];
  const body = {
    inputMicroUsdPerM: microUsd(input, "--input"),
    cachedMicroUsdPerM: microUsd(cached, "--cached"),
    outputMicroUsdPerM: microUsd(output, "--output"),
    ...(hitInput === undefined ? {} : { hitInputMicroUsdPerM: microUsd(hitInput, "--hit-input") }),
    ...(hitOutput === undefined ? {} : { hitOutputMicroUsdPerM: microUsd(hitOutput, "--hit-output") }),
    ...(zone === undefined ? {} : { zone }),
    ...(windows === undefined ? {} : { windows: windowsOf(windows) }),
    ...(from === undefined ? {} : { effectiveFromMs: momentMs(from, "<date>") }),
  };
  const posted = await api.call(Posted, "POST", `/prices/${encodeURIComponent(args[0] ?? "")}`, body);
  const model = plain(posted.model);
  return {
    json: posted,
    text:
      posted.price === null
        ? `That is what ${model} costs already.`
        : `${model} costs this from ${printTime(posted.price.effectiveFromMs)} on:\n\n${tableOf([posted.price], null)}`,
  };
}

function tableOf(prices: readonly z.infer<typeof Price>[], inForce: string | null): string {
  const rates = (row: z.infer<typeof Rates>): string[] => [
    `$${printMicroUsd(row.inputMicroUsdPerM)}`,
    `$${printMicroUsd(row.cachedMicroUsdPerM)}`,
    `$${printMicroUsd(row.outputMicroUsdPerM)}`,
    `$${printMicroUsd(row.hitInputMicroUsdPerM)} / $${printMicroUsd(row.hitOutputMicroUsdPerM)}`,
  ];
  const rows = prices.flatMap((price) => [
    [price.id === inForce ? "*" : "", price.id, printTime(price.effectiveFromMs), "", ...rates(price)],
    ...price.windows.map((window) => {
      const days = window.days === null ? "" : ` ${window.days.map((day) => DAYS[day - 1]).join(",")}`;
      const when = `${window.from}-${window.to}${days} ${price.zone ?? ""}`;
      return ["", window.id, "", when, ...rates(window)];
    }),
  ]);
  return table(["", "PRICE", "FROM", "AT", "INPUT", "CACHED", "OUTPUT", "CACHED ANSWER IN / OUT"], rows);
}

export const prices: readonly Command[] = [
  {
    name: "prices list",
    takes: ["model"],
    about: "Lists a model's prices per million tokens, newest first; * is the one in force.",
    options: {},
    run: async ({ api, args: [model = ""] }) => {
      const book = await api.call(Book, "GET", `/prices/${encodeURIComponent(model)}`);
      return { json: book, text: tableOf(book.prices, book.inForce) };
    },
  },
  {
    name: "prices set",
    takes: ["model"],
    about: "A new price from now on. What runs is billed under the price it was admitted under.",
    options: RATES,
    run: (run) => post(run, undefined),
  },
  {
    name: "prices schedule",
    takes: ["model", "date"],
    about: "A new price from a date on: 2027-01-31, or 2027-01-31T12:00Z.",
    options: RATES,
    run: (run) => post(run, run.args[1]),
  },
];
