/** API keys of an account: list, make, look at, change, rotate, revoke. A key is printed when it is made and can never be printed again. */
import { z } from "zod";
import { PAGED, type Command, type Option, type Run, type Said } from "../command.ts";
import { sheet, table } from "../table.ts";
import { durationS, list, printTime } from "../values.ts";
import { withMore } from "./accounts.ts";
import { EXPIRES, expiryMs } from "./expiry.ts";
import { limitLines, LIMITS, limitsOf } from "./limits.ts";

const Key = z.looseObject({
  id: z.string(),
  name: z.string(),
  shown: z.string(),
  createdAtMs: z.number(),
  revokedAtMs: z.number().nullable(),
});
const Page = z.looseObject({ keys: z.array(Key), next: z.string().nullable() });
const Made = z.looseObject({
  key: z.looseObject({ id: z.string(), secret: z.string(), oldSecretUntilMs: z.number().nullish() }),
});
const Revoked = z.looseObject({ id: z.string() });

const SETTINGS: { readonly [name: string]: Option } = {
  ...EXPIRES,
  models: { value: "A,B", about: 'the only models it may use, or "any"', field: "models" },
  regions: {
    value: "A,B",
    about: 'the only regions it may run in, or "any" of the account',
    field: "regions",
  },
  upstreams: {
    value: "none|no-retention|any",
    about: "which upstreams it may overflow to, of those the account allows; any of them where not given",
    field: "upstreams",
  },
  scopes: {
    value: "A,B",
    about: "what it is for: inference, usage, keys (inference,usage where not given)",
    field: "scopes",
  },
  ...LIMITS,
};

function settingsOf(run: Run): object {
  const expiresAtMs = expiryMs(run);
  const [models, regions, scopes] = [run.text("models"), run.text("regions"), run.text("scopes")];
  const upstreams = run.text("upstreams");
  return {
    ...limitsOf(run),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    ...(models === undefined ? {} : { models: list(models, "any") }),
    ...(regions === undefined ? {} : { regions: list(regions, "any") }),
    ...(scopes === undefined ? {} : { scopes: list(scopes, "") }),
    ...(upstreams === undefined ? {} : { upstreams }),
  };
}

const Shown = z.looseObject({
  key: z.looseObject({
    id: z.string(),
    name: z.string(),
    shown: z.string(),
    scopes: z.array(z.string()),
    madeBy: z.string().nullable(),
    models: z.array(z.string()).nullable(),
    regions: z.array(z.string()).nullable(),
    upstreams: z.string().optional(),
    expiresAtMs: z.number().nullable(),
    revokedAtMs: z.number().nullable(),
    oldSecretUntilMs: z.number().nullable(),
  }),
});

function show(answer: z.infer<typeof Shown>): Said {
  const { key } = answer;
  const until = key.oldSecretUntilMs;
  const text = sheet([
    ["key", key.id],
    ["name", key.name],
    ["ends in", key.shown],
    ["state", key.revokedAtMs === null ? "active" : `revoked ${printTime(key.revokedAtMs)}`],
    ["for", key.scopes.join(", ")],
    ["models", key.models === null ? "any" : key.models.join(", ")],
    ["regions", key.regions === null ? "any of the account" : key.regions.join(", ")],
    ...(key.upstreams === undefined || key.upstreams === "any"
      ? []
      : [["upstreams", key.upstreams] as const]),
    ["expires", key.expiresAtMs === null ? "never" : printTime(key.expiresAtMs)],
    ...(key.madeBy === null ? [] : [["made by", key.madeBy] as const]),
    ...(until === null ? [] : [["old secret", `opens until ${printTime(until)}`] as const]),
    ...limitLines(key),
  ]);
  return { json: answer, text };
}

function keyPath([account = "", key = ""]: readonly string[]): string {
  return `/accounts/${encodeURIComponent(account)}/keys/${encodeURIComponent(key)}`;
}

export const keys: readonly Command[] = [
  {
    name: "keys list",
    takes: ["account"],
    about: "Lists the keys of an account, newest first, by their last four characters.",
    options: PAGED,
    run: async ({ api, args: [account = ""], text, on }) => {
      const page = { limit: text("limit"), cursor: text("cursor"), all: on("all") };
      const pages = await api.list(Page, `/accounts/${encodeURIComponent(account)}/keys`, page);
      const rows = pages.flatMap((page) => page.keys);
      const next = pages.at(-1)?.next ?? null;
      const lines = rows.map((row) => [
        row.id,
        row.name,
        row.shown,
        printTime(row.createdAtMs),
        row.revokedAtMs === null ? "active" : `revoked ${printTime(row.revokedAtMs)}`,
      ]);
      return {
        json: { keys: rows, next },
        text: withMore(table(["KEY", "NAME", "ENDS IN", "CREATED", "STATE"], lines), next),
      };
    },
  },
  {
    name: "keys create",
    takes: ["account", "name"],
    about: "Makes an API key and prints it, this once.",
    options: SETTINGS,
    run: async (run) => {
      const [account = "", name] = run.args;
      const settings = { name, ...settingsOf(run) };
      const made = await run.api.call(
        Made,
        "POST",
        `/accounts/${encodeURIComponent(account)}/keys`,
        settings,
      );
      const text = `${made.key.secret}\n\nThis is ${made.key.id}. Keep it now: it is not stored and cannot be shown again.`;
      return { json: made, text };
    },
  },
  {
    name: "keys show",
    takes: ["account", "key"],
    about: "Shows a key as its account's object sees it now, with what it has used.",
    options: {},
    run: async ({ api, args }) => show(await api.call(Shown, "GET", keyPath(args))),
  },
  {
    name: "keys set",
    takes: ["account", "key"],
    about: "Changes what is given, and nothing else. It holds from the next call on.",
    options: { name: { value: "NAME", about: "its new name" }, ...SETTINGS },
    run: async (run) => {
      const name = run.text("name");
      const change = { ...settingsOf(run), ...(name === undefined ? {} : { name }) };
      return show(await run.api.call(Shown, "PATCH", keyPath(run.args), change));
    },
  },
  {
    name: "keys rotate",
    takes: ["account", "key"],
    about: "Gives a key a new secret and prints it, this once. The old one opens a while longer.",
    options: { overlap: { value: "TIME", about: "how long: 24h where not given, 0s where it has leaked" } },
    run: async (run) => {
      const overlap = run.text("overlap");
      const input = overlap === undefined ? {} : { overlapS: durationS(overlap, "--overlap") };
      const made = await run.api.call(Made, "POST", `${keyPath(run.args)}/rotate`, input);
      const until = made.key.oldSecretUntilMs;
      const old =
        until === null || until === undefined ? "opens nothing any more" : `opens until ${printTime(until)}`;
      return {
        json: made,
        text: `${made.key.secret}\n\nKeep it now: it cannot be shown again. The old one ${old}.`,
      };
    },
  },
  {
    name: "keys revoke",
    takes: ["account", "key"],
    about: "From the next call on the key starts nothing, anywhere.",
    options: {},
    run: async ({ api, args }) => {
      const revoked = await api.call(Revoked, "DELETE", keyPath(args));
      return { json: revoked, text: `${revoked.id} is revoked.` };
    },
  },
];
