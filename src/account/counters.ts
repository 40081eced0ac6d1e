/** What the account and its keys have used, as it travels in the account's row. Pure. */
import { z } from "zod";
import { UsedJson } from "./used.ts";

const CountersJson = z.object({
  /** The number of the newest admission that is counted in here. */
  admissions: z.int(),
  /** By key id; "" is the account. The last used comes last. */
  used: z.record(z.string(), UsedJson),
});
export type Counters = z.infer<typeof CountersJson>;

export const NO_COUNTERS: Counters = { admissions: 0, used: {} };

export function readCounters(text: string): Counters {
  return CountersJson.parse(JSON.parse(text));
}
