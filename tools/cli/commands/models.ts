/** The catalogue: models, their prices in dollars per million tokens, their aliases. */
import { z } from "zod";
import type { Command, Run } from "../command.ts";
import { misused } from "../complaint.ts";
import { plain, table } from "../table.ts";
import { microUsd, momentMs, printMicroUsd, printTime, whole } from "../values.ts";

const Price = z.looseObject({
  inputMicroUsdPerM: z.number(),
  cachedMicroUsdPerM: z.number(),
  outputMicroUsdPerM: z.number(),
});
const Alias = z.looseObject({ alias: z.string(), thinkingDefault: z.boolean() });
const List = z.looseObject({
  models: z.array(
    z.looseObject({
      id: z.string(),
      contextTokens: z.number(),
      outputTokensDefault: z.number(),
      thinkingDefault: z.boolean(),
      price: Price.nullable(),
      pricesToCome: z.array(Price.extend({ effectiveFromMs: z.number() })),
      aliases: z.array(Alias),
    }),
  ),
});
const Put = z.looseObject({ model: z.looseObject({ id: z.string() }), price: Price.nullable() });
const PutAlias = z.looseObject({ alias: z.looseObject({ alias: z.string(), model: z.string() }) });
const Removed = z.looseObject({ removed: z.boolean() });

function printPrice(price: z.infer<typeof Price> | null): string {
  if (price === null) return "none: not offered";
  const parts = [price.inputMicroUsdPerM, price.cachedMicroUsdPerM, price.outputMicroUsdPerM];
  return parts.map((part) => `$${printMicroUsd(part)}`).join(" / ");
}

/** The three parts of a price come together: a price that lacks one would be a guess. */
function priceOf({ text }: Run): object | undefined {
  const [input, cached, output, from] = [text("input"), text("cached"), text("output"), text("from")];
  if (input === undefined && cached === undefined && output === undefined && from === undefined)
    return undefined;
  if (input === undefined || cached === undefined || output === undefined)
    throw misused("a price needs --input, --cached and --output together");
  return {
    inputMicroUsdPerM: microUsd(input, "--input"),
    cachedMicroUsdPerM: microUsd(cached, "--cached"),
    outputMicroUsdPerM: microUsd(output, "--output"),
    ...(from === undefined ? {} : { effectiveFromMs: momentMs(from, "--from") }),
  };
}

function thinkingOf({ on }: Run): boolean | undefined {
  if (on("thinking") && on("no-thinking")) throw misused("give --thinking or --no-thinking, not both");
  if (on("thinking")) return true;
  return on("no-thinking") ? false : undefined;
}

const THINKING = {
  thinking: { about: "it thinks where a call does not say" },
  "no-thinking": { about: "it does not" },
};

export const models: readonly Command[] = [
  {
    name: "models list",
    takes: [],
    about: "Lists what is offered, with prices per million tokens: input / cached input / output.",
    options: {},
    run: async ({ api }) => {
      const answer = await api.call(List, "GET", "/models");
      const rows = answer.models.map((model) => [
        model.id,
        model.contextTokens,
        model.outputTokensDefault,
        printPrice(model.price),
        model.pricesToCome
          .map((to) => `${printPrice(to)} from ${printTime(to.effectiveFromMs)}`)
          .join("; ") || "-",
        model.aliases.map((alias) => alias.alias).join(",") || "-",
      ]);
      const head = ["MODEL", "CONTEXT", "OUTPUT", "PRICE PER MILLION", "TO COME", "ALIASES"];
      return { json: answer, text: table(head, rows) };
    },
  },
  {
    name: "models set",
    takes: ["model"],
    about:
      "Makes a model, or changes what is given. A new model needs --context, --output-default and a price.",
    options: {
      context: { value: "N", about: "tokens its context holds", field: "contextTokens" },
      "output-default": {
        value: "N",
        about: "output tokens at most, where a call does not say",
        field: "outputTokensDefault",
      },
      "owned-by": { value: "NAME", about: "what /v1/models says of its owner", field: "ownedBy" },
      ...THINKING,
      input: {
        value: "USD",
        about: "dollars per million input tokens, like 0.27",
        field: "price.inputMicroUsdPerM",
      },
      cached: {
        value: "USD",
        about: "per million input tokens found in the cache",
        field: "price.cachedMicroUsdPerM",
      },
      output: { value: "USD", about: "per million output tokens", field: "price.outputMicroUsdPerM" },
      from: {
        value: "DATE",
        about: "when the price begins; now where not given",
        field: "price.effectiveFromMs",
      },
    },
    run: async (run) => {
      const [context, output, ownedBy] = [
        run.text("context"),
        run.text("output-default"),
        run.text("owned-by"),
      ];
      const [price, thinkingDefault] = [priceOf(run), thinkingOf(run)];
      const body = {
        ...(context === undefined ? {} : { contextTokens: whole(context, "--context") }),
        ...(output === undefined ? {} : { outputTokensDefault: whole(output, "--output-default") }),
        ...(ownedBy === undefined ? {} : { ownedBy }),
        ...(thinkingDefault === undefined ? {} : { thinkingDefault }),
        ...(price === undefined ? {} : { price }),
      };
      const put = await run.api.call(Put, "PUT", `/models/${encodeURIComponent(run.args[0] ?? "")}`, body);
      const priced = put.price === null ? "" : ` New price: ${printPrice(put.price)}.`;
      return { json: put, text: `${plain(put.model.id)} is set.${priced}` };
    },
  },
  {
    name: "models remove",
    takes: ["model"],
    about: "The model is offered no more, and neither are its aliases. What was billed stays as it is.",
    options: {},
    run: async ({ api, args: [model = ""] }) => {
      const answer = await api.call(Removed, "DELETE", `/models/${encodeURIComponent(model)}`);
      return { json: answer, text: `${plain(model)} is offered no more.` };
    },
  },
  {
    name: "models alias",
    takes: ["alias", "model"],
    about: "Gives a model another name.",
    options: THINKING,
    run: async (run) => {
      const [alias = "", model] = run.args;
      const thinkingDefault = thinkingOf(run);
      const body = { model, ...(thinkingDefault === undefined ? {} : { thinkingDefault }) };
      const answer = await run.api.call(PutAlias, "PUT", `/aliases/${encodeURIComponent(alias)}`, body);
      return { json: answer, text: `${plain(answer.alias.alias)} means ${plain(answer.alias.model)}.` };
    },
  },
  {
    name: "models unalias",
    takes: ["alias"],
    about: "Takes such a name away.",
    options: {},
    run: async ({ api, args: [alias = ""] }) => {
      const answer = await api.call(Removed, "DELETE", `/aliases/${encodeURIComponent(alias)}`);
      return { json: answer, text: `${plain(alias)} means nothing any more.` };
    },
  },
];
