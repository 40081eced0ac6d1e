/** The fleet: list, invite a machine, drain, take back into service, remove. */
import { z } from "zod";
import { PAGED, type Command, type Run } from "../command.ts";
import { misused } from "../complaint.ts";
import { plain, table } from "../table.ts";
import { durationS, printTime } from "../values.ts";
import { withMore } from "./accounts.ts";

const Node = z.looseObject({
  id: z.string(),
  name: z.string(),
  region: z.string(),
  url: z.string(),
  removedAtMs: z.number().nullable(),
  live: z
    .looseObject({
      state: z.string(),
      beatAgeMs: z.number(),
      models: z.array(z.looseObject({ id: z.string() })),
      /** By model. */
      proofs: z
        .record(
          z.string(),
          z.looseObject({
            provenAtMs: z.number().nullable(),
            failing: z.looseObject({ sinceMs: z.number(), probes: z.number(), why: z.string() }).optional(),
          }),
        )
        .default({}),
      load: z.looseObject({
        slots: z.number(),
        slotsBusy: z.number(),
        queued: z.number(),
        ownOnly: z.boolean().optional(),
      }),
    })
    .nullable(),
});
const Page = z.looseObject({
  nodes: z.array(Node),
  regionsUnreachable: z.array(z.string()),
  next: z.string().nullable(),
});
const Invited = z.looseObject({ joinToken: z.string(), expiresAtMs: z.number(), url: z.string() });
const Done = z.looseObject({ id: z.string() });

function stateOf(node: z.infer<typeof Node>, unreachable: ReadonlySet<string>): string {
  if (node.removedAtMs !== null) return "removed";
  if (node.live !== null) return node.live.state;
  return unreachable.has(node.region) ? "unknown" : "silent";
}

type Proofs = NonNullable<z.infer<typeof Node>["live"]>["proofs"];

/** When it last made a token, or which model it has been asked in vain for one, for how long. */
function provenOf(proofs: Proofs, nowMs: number): string {
  const ago = (atMs: number): string => `${Math.max(0, Math.round((nowMs - atMs) / 1_000))} s`;
  const all = Object.entries(proofs);
  const failing = all.flatMap(([model, { failing }]) =>
    failing === undefined ? [] : [{ model, ...failing }],
  );
  const [worst] = failing.toSorted((a, b) => a.sinceMs - b.sinceMs);
  if (worst !== undefined)
    return `${all.length > 1 ? `${worst.model} ` : ""}fails ${ago(worst.sinceMs)}: ${worst.why}`;
  const proven = all.flatMap(([, { provenAtMs }]) => provenAtMs ?? []);
  return proven.length === 0 ? "not yet" : `${ago(Math.max(...proven))} ago`;
}

function path({ args: [node = ""] }: Run): string {
  return `/nodes/${encodeURIComponent(node)}`;
}

const invite: Omit<Command, "name"> = {
  takes: ["name"],
  about: "Makes a join token: the machine that shows it first becomes the node at this URL, in this region.",
  options: {
    region: { value: "REGION", about: "your own name for the place (needed)", field: "region" },
    "node-url": { value: "URL", about: "where the edge reaches the machine (needed)", field: "url" },
    "expires-in": {
      value: "TIME",
      about: "how long the token may wait: 12h, 7d; a day where not given",
      field: "expiresInS",
    },
  },
  run: async (run) => {
    const [region, url, expires] = [run.text("region"), run.text("node-url"), run.text("expires-in")];
    if (region === undefined || url === undefined)
      throw misused("nodes invite needs --region and --node-url", "npm run sluice -- nodes invite --help");
    const body = {
      name: run.args[0],
      region,
      url,
      ...(expires === undefined ? {} : { expiresInS: durationS(expires, "--expires-in") }),
    };
    const made = await run.api.call(Invited, "POST", "/nodes/join-tokens", body);
    const text = `${plain(made.joinToken)}\n\nFor the machine at ${plain(made.url)}, until ${printTime(made.expiresAtMs)}. Keep it now: it is stored as a hash.`;
    return { json: made, text };
  },
};

export const nodes: readonly Command[] = [
  {
    name: "nodes list",
    takes: [],
    about: "Lists the nodes with what their last beats said.",
    options: { ...PAGED, removed: { about: "those that were removed, too" } },
    run: async ({ api, text, on }) => {
      const page = { limit: text("limit"), cursor: text("cursor"), all: on("all") };
      const pages = await api.list(Page, "/nodes", page);
      const all = pages.flatMap((page) => page.nodes);
      const rows = on("removed") ? all : all.filter((node) => node.removedAtMs === null);
      const regionsUnreachable = [...new Set(pages.flatMap((page) => page.regionsUnreachable))];
      const next = pages.at(-1)?.next ?? null;
      const unreachable = new Set(regionsUnreachable);
      const lines = rows.map((node) => [
        node.id,
        node.name,
        node.region,
        stateOf(node, unreachable),
        provenOf(node.live?.proofs ?? {}, Date.now()),
        node.live === null ? "-" : busyOf(node.live.load),
        node.live?.load.queued,
        node.live?.models.map((model) => model.id).join(",") ?? "-",
        node.url,
      ]);
      const head = ["NODE", "NAME", "REGION", "STATE", "PROVEN", "BUSY", "QUEUED", "MODELS", "URL"];
      return { json: { nodes: rows, regionsUnreachable, next }, text: withMore(table(head, lines), next) };
    },
  },
  { ...invite, name: "nodes invite" },
  { ...invite, name: "nodes add", about: "The same as nodes invite." },
  {
    name: "nodes drain",
    takes: ["node"],
    about: "The node gets no more calls; what runs may finish within the grace.",
    options: {
      grace: { value: "TIME", about: "90s, 5m, 1h; five minutes where not given", field: "graceS" },
    },
    run: async (run) => {
      const grace = run.text("grace");
      const body = grace === undefined ? {} : { graceS: durationS(grace, "--grace") };
      const done = await run.api.call(Done, "POST", `${path(run)}/drain`, body);
      return { json: done, text: `${plain(done.id)} drains. nodes list shows how far it is.` };
    },
  },
  {
    name: "nodes resume",
    takes: ["node"],
    about: "Takes a drained node into service again.",
    options: {},
    run: async (run) => {
      const done = await run.api.call(Done, "POST", `${path(run)}/resume`);
      return { json: done, text: `${plain(done.id)} takes calls again with its next beat.` };
    },
  },
  {
    name: "nodes remove",
    takes: ["node"],
    about: "The node is one no more. Its receipts are still taken. Drain it first.",
    options: { force: { about: "even while it works" } },
    run: async (run) => {
      const done = await run.api.call(Done, "DELETE", `${path(run)}${run.on("force") ? "?force=true" : ""}`);
      return { json: done, text: `${plain(done.id)} is removed.` };
    },
  },
];

/** With a mark where the server behind the node does not say how loaded it is. */
function busyOf({
  slots,
  slotsBusy,
  ownOnly,
}: {
  readonly slots: number;
  readonly slotsBusy: number;
  readonly ownOnly?: boolean | undefined;
}): string {
  return `${slotsBusy}/${slots}${ownOnly === true ? " ?" : ""}`;
}
