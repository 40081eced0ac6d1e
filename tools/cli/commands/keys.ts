/** API keys of an account: list, make, revoke. A key is printed when it is made and can never be printed again. */
import { z } from "zod";
import { PAGED, type Command } from "../command.ts";
import { table } from "../table.ts";
import { list, printTime } from "../values.ts";
import { limitsOf, withMore } from "./accounts.ts";
import { EXPIRES, expiryMs } from "./expiry.ts";

const Key = z.looseObject({
  id: z.string(),
  name: z.string(),
  shown: z.string(),
  createdAtMs: z.number(),
  revokedAtMs: z.number().nullable(),
});
const Page = z.looseObject({ keys: z.array(Key), next: z.string().nullable() });
const Made = z.looseObject({ key: Key.extend({ secret: z.string() }) });
const Revoked = z.looseObject({ id: z.string() });

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
    options: {
      ...EXPIRES,
      models: { value: "A,B", about: 'the only models it may use, or "any"', field: "models" },
      rpm: { value: "N", about: 'requests per minute, or "none"', field: "requestsPerMinute" },
      concurrency: { value: "N", about: 'requests at once, or "none"', field: "concurrency" },
    },
    run: async (run) => {
      const [account = "", name] = run.args;
      const expiresAtMs = expiryMs(run);
      const models = run.text("models");
      const settings = {
        name,
        ...limitsOf(run),
        ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
        ...(models === undefined ? {} : { models: list(models, "any") }),
      };
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
    name: "keys revoke",
    takes: ["account", "key"],
    about: "From the next call on the key starts nothing, anywhere.",
    options: {},
    run: async ({ api, args: [account = "", key = ""] }) => {
      const path = `/accounts/${encodeURIComponent(account)}/keys/${encodeURIComponent(key)}`;
      const revoked = await api.call(Revoked, "DELETE", path);
      return { json: revoked, text: `${revoked.id} is revoked.` };
    },
  },
];
