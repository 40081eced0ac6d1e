/**
 * Upstreams: any server that speaks OpenAI's chat completions, as overflow for when no node has room. Their secrets are read
 * from a variable or from stdin, never from an argument: what is typed after a command can be read by every user of a machine.
 */
import { z } from "zod";
import { PAGED, type Command, type Option, type Run, type Said } from "../command.ts";
import { misused } from "../complaint.ts";
import { plain, table } from "../table.ts";
import { microUsd, printMicroUsd, whole } from "../values.ts";
import { withMore } from "./accounts.ts";

const Served = z.looseObject({
  model: z.string(),
  as: z.string(),
  thinks: z.boolean(),
  inputMicroUsdPerM: z.number(),
  cachedMicroUsdPerM: z.number(),
  outputMicroUsdPerM: z.number(),
});
const Upstream = z.looseObject({
  id: z.string(),
  name: z.string(),
  region: z.string(),
  url: z.string(),
  state: z.string(),
  keySealedUnder: z.string().nullable(),
  models: z.array(Served),
  features: z.array(z.string()),
  concurrency: z.number(),
  policy: z.looseObject({ trains: z.boolean(), retainsDays: z.number().nullable(), keptIn: z.string() }),
});
const One = z.looseObject({ upstream: Upstream });
const Page = z.looseObject({ upstreams: z.array(Upstream), next: z.string().nullable() });

const VARIABLE = "SLUICE_UPSTREAM_KEY";
const NO_KEY: Option = { about: "the server wants no key" };

/** "ours=theirs,ours=theirs" */
function namesOf(text: string | undefined, option: string): (readonly [string, string])[] {
  return (text ?? "").split(",").flatMap((part) => {
    const pair = part.trim();
    if (pair === "") return [];
    const equals = pair.indexOf("=");
    if (equals <= 0 || equals === pair.length - 1)
      throw misused(
        `${option}: "${pair}" is no pair of names`,
        `write it like ${option} our-model=its-name-there`,
      );
    return [[pair.slice(0, equals), pair.slice(equals + 1)] as const];
  });
}

function extraOf(text: string | undefined, option: string): unknown {
  if (text === undefined) return {};
  try {
    return JSON.parse(text);
  } catch {
    throw misused(
      `${option} is not JSON`,
      `write it like ${option} '{"chat_template_kwargs":{"thinking":true}}'`,
    );
  }
}

function retainsOf(text: string): number | null {
  if (text === "unknown") return null;
  return text === "none" ? 0 : whole(text.replace(/d$/, ""), "--retains");
}

function trainsOf(text: string): boolean {
  if (text !== "yes" && text !== "no") throw misused(`--trains: "${text}" is neither yes nor no`);
  return text === "yes";
}

async function keyOf(run: Run): Promise<string | null> {
  if (run.on("no-key")) return null;
  const key = (await run.secret(VARIABLE, "The key the upstream wants to see: ")).trim();
  if (key === "") throw misused("there is no key", `put it into ${VARIABLE} or into stdin, or say --no-key`);
  return key;
}

function needed(run: Run, option: string): string {
  const value = run.text(option);
  if (value === undefined)
    throw misused(`upstreams add needs --${option}`, "npm run sluice -- upstreams add --help");
  return value;
}

function policyOf({ policy: { trains, retainsDays, keptIn } }: z.infer<typeof Upstream>): string {
  const keeps = retainsDays === 0 ? "kept not at all" : `kept ${retainsDays ?? "?"} days in ${keptIn}`;
  return `${trains ? "trains" : "no training"}, ${keeps}`;
}

function rows(upstreams: readonly z.infer<typeof Upstream>[]): string {
  const lines = upstreams.flatMap((upstream) =>
    upstream.models.map((served, at) => {
      const rates = [served.inputMicroUsdPerM, served.cachedMicroUsdPerM, served.outputMicroUsdPerM];
      const first = at === 0;
      return [
        first ? upstream.id : "",
        first ? upstream.name : "",
        first ? upstream.region : "",
        first ? upstream.state : "",
        `${served.model}=${served.as}${served.thinks ? " (thinks)" : ""}`,
        rates.map((rate) => `$${printMicroUsd(rate)}`).join("/"),
        first ? policyOf(upstream) : "",
        first ? upstream.url : "",
      ];
    }),
  );
  return table(
    ["UPSTREAM", "NAME", "REGION", "STATE", "OURS=THEIRS", "COSTS IN/CACHED/OUT", "PROMPTS", "URL"],
    lines,
  );
}

async function done(run: Run, call: string, says: string, body?: object): Promise<Said> {
  const [method = "", path = ""] = call.split(" ");
  const [id = ""] = run.args;
  const answer = await run.api.call(One, method, `/upstreams/${encodeURIComponent(id)}${path}`, body);
  return { json: answer, text: `${plain(answer.upstream.id)} ${says}` };
}

export const upstreams: readonly Command[] = [
  {
    name: "upstreams list",
    takes: [],
    about: "Lists the upstreams, what they charge you, and what they do with prompts.",
    options: { ...PAGED, removed: { about: "those that were removed, too" } },
    run: async ({ api, text, on }) => {
      const page = { limit: text("limit"), cursor: text("cursor"), all: on("all") };
      const pages = await api.list(Page, "/upstreams", page);
      const all = pages.flatMap((page) => page.upstreams);
      const shown = on("removed") ? all : all.filter(({ state }) => state !== "removed");
      const next = pages.at(-1)?.next ?? null;
      return { json: { upstreams: shown, next }, text: withMore(rows(shown), next) };
    },
  },
  {
    name: "upstreams add",
    takes: ["name"],
    about: `Adds a server as overflow for accounts that allow it. Its key is read from ${VARIABLE}, or from stdin.`,
    options: {
      region: {
        value: "REGION",
        about: "your own name for the place it computes in (needed)",
        field: "region",
      },
      "base-url": {
        value: "URL",
        about: "as OpenAI's SDKs take it, like https://api.example.com/v1 (needed)",
        field: "url",
      },
      models: { value: "OURS=THEIRS,...", about: "models it answers without thinking", field: "models" },
      "thinking-models": { value: "OURS=THEIRS,...", about: "models that think there" },
      extra: { value: "JSON", about: "fields that calls without thinking get there" },
      "thinking-extra": { value: "JSON", about: "fields that calls that think get there" },
      "tag-field": {
        value: "FIELD",
        about:
          "keeps accounts' prefix caches apart there (vLLM: cache_salt); without it no cached tokens are told or billed as such",
      },
      context: {
        value: "TOKENS",
        about: "the longest prompt and answer together that it takes; without it, it may refuse long ones",
      },
      input: { value: "USD", about: "what it charges you per million input tokens (needed)" },
      cached: { value: "USD", about: "per million found in its cache; as input where not given" },
      output: { value: "USD", about: "per million output tokens (needed)" },
      features: {
        value: "A,B",
        about:
          "what it can do: tools, json, logit_bias, penalties, effort (it knows reasoning_effort); nothing where not given",
        field: "features",
      },
      concurrency: { value: "N", about: "requests at once, in each isolate (8)", field: "concurrency" },
      trains: {
        value: "yes|no",
        about: "whether prompts may train models there (needed)",
        field: "policy.trains",
      },
      retains: {
        value: "none|DAYS|unknown",
        about: "how long prompts are kept there (needed)",
        field: "policy.retainsDays",
      },
      "kept-in": {
        value: "REGION",
        about: "where they are kept; its region where not given",
        field: "policy.keptIn",
      },
      "no-key": NO_KEY,
    },
    run: async (run) => {
      const input = microUsd(needed(run, "input"), "--input");
      const cached = run.text("cached");
      const rates = {
        inputMicroUsdPerM: input,
        cachedMicroUsdPerM: cached === undefined ? input : microUsd(cached, "--cached"),
        outputMicroUsdPerM: microUsd(needed(run, "output"), "--output"),
      };
      const context = run.text("context");
      const models = [false, true].flatMap((thinks) => {
        const names = thinks ? "thinking-models" : "models";
        const extra = thinks ? "thinking-extra" : "extra";
        const fields = extraOf(run.text(extra), `--${extra}`);
        return namesOf(run.text(names), `--${names}`).map(([model, as]) => ({
          model,
          as,
          thinks,
          extra: fields,
          tagField: run.text("tag-field") ?? null,
          contextTokens: context === undefined ? null : whole(context, "--context"),
          ...rates,
        }));
      });
      if (models.length === 0) throw misused("upstreams add needs --models or --thinking-models");
      const keptIn = run.text("kept-in");
      const body = {
        name: run.args[0],
        region: needed(run, "region"),
        url: needed(run, "base-url"),
        models,
        features: (run.text("features") ?? "").split(",").flatMap((name) => name.trim() || []),
        concurrency: whole(run.text("concurrency") ?? "8", "--concurrency"),
        policy: {
          trains: trainsOf(needed(run, "trains")),
          retainsDays: retainsOf(needed(run, "retains")),
          ...(keptIn === undefined ? {} : { keptIn }),
        },
        apiKey: await keyOf(run),
      };
      const made = await run.api.call(One, "POST", "/upstreams", body);
      const note = "Accounts use it once they allow it: accounts set <account> --upstreams no-retention|any";
      return { json: made, text: `${rows([made.upstream])}\n\n${note}` };
    },
  },
  {
    name: "upstreams set-key",
    takes: ["upstream"],
    about: `Gives an upstream another key, read from ${VARIABLE} or from stdin, and seals it under the current secret.`,
    options: { "no-key": NO_KEY },
    run: async (run) => done(run, "PUT /key", "has its new key.", { apiKey: await keyOf(run) }),
  },
  {
    name: "upstreams drain",
    takes: ["upstream"],
    about: "It gets no more calls, within a minute everywhere; what runs there runs on.",
    options: {},
    run: (run) => done(run, "POST /drain", "gets no more calls."),
  },
  {
    name: "upstreams resume",
    takes: ["upstream"],
    about: "Takes a drained upstream into service again.",
    options: {},
    run: (run) => done(run, "POST /resume", "takes calls again."),
  },
  {
    name: "upstreams remove",
    takes: ["upstream"],
    about: "It is an upstream no more, and its key is forgotten. Usage goes on naming it.",
    options: {},
    run: (run) => done(run, "DELETE", "is removed."),
  },
];
