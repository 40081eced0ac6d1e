/** Keys to the admin interface, for people and programs that shall not have the operator's own token. */
import { z } from "zod";
import { PAGED, type Command } from "../command.ts";
import { misused } from "../complaint.ts";
import { plain, table } from "../table.ts";
import { list, printTime } from "../values.ts";
import { withMore } from "./accounts.ts";
import { EXPIRES, expiryMs } from "./expiry.ts";

const AdminKey = z.looseObject({
  id: z.string(),
  name: z.string(),
  shown: z.string(),
  scopes: z.array(z.string()),
  madeBy: z.string(),
  createdAtMs: z.number(),
  expiresAtMs: z.number().nullable(),
  revokedAtMs: z.number().nullable(),
});
const Page = z.looseObject({ adminKeys: z.array(AdminKey), next: z.string().nullable() });
const Made = z.looseObject({ adminKey: AdminKey.extend({ secret: z.string() }) });
const Revoked = z.looseObject({ id: z.string(), liveKeysItMade: z.array(z.string()) });

function stateOf(key: z.infer<typeof AdminKey>): string {
  if (key.revokedAtMs !== null) return `revoked ${printTime(key.revokedAtMs)}`;
  if (key.expiresAtMs === null) return "active";
  return `${key.expiresAtMs <= Date.now() ? "expired" : "until"} ${printTime(key.expiresAtMs)}`;
}

export const adminKeys: readonly Command[] = [
  {
    name: "admin-keys list",
    takes: [],
    about: "Lists the keys to this interface, newest first, with what each may do.",
    options: PAGED,
    run: async ({ api, text, on }) => {
      const page = { limit: text("limit"), cursor: text("cursor"), all: on("all") };
      const pages = await api.list(Page, "/admin-keys", page);
      const rows = pages.flatMap((page) => page.adminKeys);
      const next = pages.at(-1)?.next ?? null;
      const lines = rows.map((key) => [
        key.id,
        key.name,
        key.shown,
        key.madeBy,
        stateOf(key),
        key.scopes.join(","),
      ]);
      const head = ["ADMIN KEY", "NAME", "ENDS IN", "MADE BY", "STATE", "SCOPES"];
      return { json: { adminKeys: rows, next }, text: withMore(table(head, lines), next) };
    },
  },
  {
    name: "admin-keys create",
    takes: ["name"],
    about: "Makes a key to this interface and prints it, this once. It may do no more than who makes it.",
    options: {
      scopes: {
        value: "A,B",
        about: "what it may do, like accounts:read,usage:read (needed; docs/OPERATIONS.md lists them)",
        field: "scopes",
      },
      ...EXPIRES,
    },
    run: async (run) => {
      const scopes = run.text("scopes");
      if (scopes === undefined)
        throw misused("admin-keys create needs --scopes", "npm run sluice -- admin-keys create --help");
      const expiresAtMs = expiryMs(run);
      const body = {
        name: run.args[0],
        scopes: list(scopes, ""),
        ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
      };
      const made = await run.api.call(Made, "POST", "/admin-keys", body);
      const { id, secret } = made.adminKey;
      const text = `${plain(secret)}\n\nThis is ${plain(id)}. Keep it now: it is stored as a hash. Use it as --token or SLUICE_ADMIN_TOKEN.`;
      return { json: made, text };
    },
  },
  {
    name: "admin-keys revoke",
    takes: ["key"],
    about: "From the next call on the key opens nothing here. What it has made lives on and is named.",
    options: {},
    run: async ({ api, args: [key = ""] }) => {
      const done = await api.call(Revoked, "DELETE", `/admin-keys/${encodeURIComponent(key)}`);
      const left = done.liveKeysItMade;
      const more =
        left.length === 0 ? "" : ` It had made keys that still work: ${left.map(plain).join(", ")}.`;
      return { json: done, text: `${plain(done.id)} is revoked.${more}` };
    },
  },
];
