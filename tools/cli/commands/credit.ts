/** Money onto an account, or off it. Every credit has an id, and one id credits once: a lost answer costs nothing. */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { Command } from "../command.ts";
import { Complaint, EXIT } from "../complaint.ts";
import { plain } from "../table.ts";
import { momentMs } from "../values.ts";

const Credited = z.looseObject({ creditId: z.string(), balanceUsd: z.string() });

export const credit: readonly Command[] = [
  {
    name: "credit",
    takes: ["account", "dollars"],
    fields: { dollars: "amountUsd" },
    about:
      "Adds dollars to an account's balance; a negative amount, behind two dashes, takes them off: -- -5.00",
    options: {
      id: {
        value: "ID",
        about: "your own id for this credit; giving it twice credits once",
        field: "creditId",
      },
      note: { value: "TEXT", about: "what the ledger shall say", field: "note" },
      granted: { about: "a gift: spent before what was topped up", field: "kind" },
      expires: {
        value: "DATE",
        about: "when a gift ends: 2027-01-31, or 2027-01-31T12:00Z",
        field: "expiresAtMs",
      },
    },
    run: async ({ api, args: [account = "", amountUsd], text, on }) => {
      const creditId = text("id") ?? `cli-${randomBytes(8).toString("hex")}`;
      const expires = text("expires");
      const body = {
        creditId,
        amountUsd,
        note: text("note") ?? "",
        ...(on("granted") ? { kind: "granted" } : {}),
        ...(expires === undefined ? {} : { expiresAtMs: momentMs(expires, "--expires") }),
      };
      try {
        const path = `/accounts/${encodeURIComponent(account)}/credits`;
        const credited = await api.call(Credited, "POST", path, body);
        const balance = plain(credited.balanceUsd);
        return {
          json: credited,
          text: `The balance of ${plain(account)} is $${balance} (credit ${plain(creditId)}).`,
        };
      } catch (error) {
        // Whether it arrived is not known; with the same id it cannot happen twice.
        if (!(error instanceof Complaint) || error.exit !== EXIT.unreachable) throw error;
        const next = `${error.next ?? ""}; try again with --id ${creditId}, which cannot credit twice`;
        throw new Complaint(error.exit, error.message, { next });
      }
    },
  },
];
