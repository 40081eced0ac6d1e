/** Cached answers: what an account says of them, and forgetting them. */
import { z } from "zod";
import type { Command } from "../command.ts";
import { misused } from "../complaint.ts";
import { plain } from "../table.ts";
import { durationS } from "../values.ts";

const Set = z.looseObject({ account: z.looseObject({ id: z.string() }) });
const Purged = z.looseObject({ account: z.string(), model: z.string().nullable() });

export const cache: readonly Command[] = [
  {
    name: "cache set",
    takes: ["account"],
    about: "What an account's requests do with cached answers, where they do not say so themselves.",
    options: {
      mode: {
        value: "MODE",
        about: "off, read, write (read and keep) or refresh (keep alone)",
        field: "cache.mode",
      },
      ttl: { value: "TIME", about: "how long answers are kept: 90s, 12h, 30d", field: "cache.ttlS" },
      default: { about: "back to the default: write, for a day" },
    },
    run: async ({ api, args: [account = ""], text, on }) => {
      const [mode, ttl] = [text("mode"), text("ttl")];
      if (on("default") === (mode !== undefined || ttl !== undefined))
        throw misused("give --mode or --ttl or both, or --default", "npm run sluice -- cache set --help");
      const setting = on("default")
        ? null
        : {
            ...(mode === undefined ? {} : { mode }),
            ...(ttl === undefined ? {} : { ttlS: durationS(ttl, "--ttl") }),
          };
      const answer = await api.call(Set, "PATCH", `/accounts/${encodeURIComponent(account)}`, {
        cache: setting,
      });
      return { json: answer, text: `Cached answers of ${plain(answer.account.id)} are set.` };
    },
  },
  {
    name: "cache purge",
    takes: ["account"],
    about: "Forgets an account's cached answers: from the next call on none opens, in any layer.",
    options: { model: { value: "MODEL", about: "those of one model alone", field: "model" } },
    run: async ({ api, args: [account = ""], text }) => {
      const model = text("model");
      const path = `/accounts/${encodeURIComponent(account)}/cache/purge`;
      const done = await api.call(Purged, "POST", path, model === undefined ? {} : { model });
      const which = done.model === null ? "All cached answers" : `Cached answers of ${plain(done.model)}`;
      return { json: done, text: `${which} of ${plain(done.account)} are forgotten.` };
    },
  },
];
