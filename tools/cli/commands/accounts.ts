/** Accounts: list, make, look at, change, suspend. */
import { z } from "zod";
import { PAGED, type Command, type Option, type Run, type Said } from "../command.ts";
import { misused } from "../complaint.ts";
import { plain, sheet, table } from "../table.ts";
import { list, printTime } from "../values.ts";
import { limitLines, LIMITS, limitsOf } from "./limits.ts";

const Account = z.looseObject({
  id: z.string(),
  name: z.string(),
  suspended: z.boolean(),
  upstreams: z.string().optional(),
  balanceUsd: z.string(),
  grantedUsd: z.string(),
  toppedUpUsd: z.string(),
  heldUsd: z.string(),
  holdsOpen: z.number(),
  holdsPending: z.number(),
  deletedAtMs: z.number().nullish(),
});
const One = z.looseObject({ account: Account });
const Deleted = z.looseObject({ id: z.string(), balanceUsd: z.string() });
const Page = z.looseObject({
  accounts: z.array(
    z.looseObject({
      id: z.string(),
      name: z.string(),
      createdAtMs: z.number(),
      deletedAtMs: z.number().nullish(),
    }),
  ),
  next: z.string().nullable(),
});

const SETTINGS: { readonly [name: string]: Option } = {
  regions: { value: "A,B", about: 'the only regions it may run in, or "any"', field: "regions" },
  upstreams: {
    value: "none|no-retention|any",
    about: "which upstreams its prompts may overflow to when no node has room; none where not given",
    field: "upstreams",
  },
  ...LIMITS,
};

function settingsOf(run: Run): object {
  const regions = run.text("regions");
  const upstreams = run.text("upstreams");
  return {
    ...limitsOf(run),
    ...(regions === undefined ? {} : { regions: list(regions, "any") }),
    ...(upstreams === undefined ? {} : { upstreams }),
  };
}

function show(answer: z.infer<typeof One>): Said {
  const { account } = answer;
  const text = sheet([
    ["account", account.id],
    ["name", account.name],
    ["state", stateOf(account)],
    ...(account.upstreams === undefined || account.upstreams === "none"
      ? []
      : [["upstreams", account.upstreams] as const]),
    ["balance", `$${account.balanceUsd} ($${account.grantedUsd} granted, $${account.toppedUpUsd} topped up)`],
    ...limitLines(account),
    ["held", `$${account.heldUsd} by ${account.holdsOpen} running and ${account.holdsPending} pending`],
  ]);
  return { json: answer, text };
}

function stateOf({ deletedAtMs, suspended }: z.infer<typeof Account>): string {
  if (typeof deletedAtMs === "number") return `deleted ${printTime(deletedAtMs)}`;
  return suspended ? "suspended" : "active";
}

async function change(run: Run, settings: object): Promise<Said> {
  return show(await run.api.call(One, "PATCH", `/accounts/${path(run)}`, settings));
}

function path(run: Run): string {
  return encodeURIComponent(run.args[0] ?? "");
}

export const accounts: readonly Command[] = [
  {
    name: "accounts list",
    takes: [],
    about: "Lists accounts, newest first.",
    options: PAGED,
    run: async ({ api, text, on }) => {
      const page = { limit: text("limit"), cursor: text("cursor"), all: on("all") };
      const pages = await api.list(Page, "/accounts", page);
      const rows = pages.flatMap((page) => page.accounts);
      const next = pages.at(-1)?.next ?? null;
      return {
        json: { accounts: rows, next },
        text: withMore(
          table(
            ["ACCOUNT", "NAME", "CREATED", "DELETED"],
            rows.map((row) => [row.id, row.name, printTime(row.createdAtMs), printTime(row.deletedAtMs)]),
          ),
          next,
        ),
      };
    },
  },
  {
    name: "accounts create",
    takes: ["name"],
    about: "Makes an account. Its home, where its books are kept, is part of its id and stays.",
    options: { home: { value: "HOME", about: "any, eu or fedramp", field: "home" }, ...SETTINGS },
    run: async (run) => {
      const home = run.text("home");
      const settings = { name: run.args[0], ...(home === undefined ? {} : { home }), ...settingsOf(run) };
      return show(await run.api.call(One, "POST", "/accounts", settings));
    },
  },
  {
    name: "accounts show",
    takes: ["account"],
    about: "Shows an account as its object sees it now.",
    options: {},
    run: async (run) => show(await run.api.call(One, "GET", `/accounts/${path(run)}`)),
  },
  {
    name: "accounts set",
    takes: ["account"],
    about: "Changes what is given, and nothing else.",
    options: { name: { value: "NAME", about: "its new name", field: "name" }, ...SETTINGS },
    run: (run) => {
      const name = run.text("name");
      return change(run, { ...settingsOf(run), ...(name === undefined ? {} : { name }) });
    },
  },
  {
    name: "accounts delete",
    takes: ["account"],
    about:
      "Ends an account for good: its keys are revoked at once, its cached answers forgotten. Its books stay for their time.",
    options: { yes: { about: "do it: nothing brings an account back" } },
    run: async (run) => {
      if (!run.on("yes"))
        throw misused(
          "accounts delete ends the account for good",
          "say --yes; accounts suspend can be undone",
        );
      const done = await run.api.call(Deleted, "DELETE", `/accounts/${path(run)}`);
      const left = done.balanceUsd === "0.00" ? "" : ` $${plain(done.balanceUsd)} was left on it.`;
      return { json: done, text: `${plain(done.id)} is deleted.${left}` };
    },
  },
  {
    name: "accounts suspend",
    takes: ["account"],
    about: "From the next call on, none of its keys starts anything. What runs, ends by itself.",
    options: {},
    run: (run) => change(run, { suspended: true }),
  },
  {
    name: "accounts unsuspend",
    takes: ["account"],
    about: "Takes a suspension back.",
    options: {},
    run: (run) => change(run, { suspended: false }),
  },
];

/** A list, and how to see the rest of it. */
export function withMore(text: string, next: string | null): string {
  return next === null ? text : `${text}\n\nThere is more: --cursor ${next}, or --all`;
}
