/** When a key ends: a date, or after how long. */
import type { Option, Run } from "../command.ts";
import { misused } from "../complaint.ts";
import { durationS, momentMs } from "../values.ts";

export const EXPIRES: { readonly [name: string]: Option } = {
  expires: {
    value: "DATE",
    about: "when it ends: 2027-01-31, or 2027-01-31T12:00Z",
    field: "expiresAtMs",
  },
  "expires-in": { value: "TIME", about: "or after how long: 12h, 30d" },
};

export function expiryMs({ text }: Run): number | undefined {
  const [at, in_] = [text("expires"), text("expires-in")];
  if (at !== undefined && in_ !== undefined) throw misused("give --expires or --expires-in, not both");
  if (at !== undefined) return momentMs(at, "--expires");
  return in_ === undefined ? undefined : Date.now() + durationS(in_, "--expires-in") * 1_000;
}
