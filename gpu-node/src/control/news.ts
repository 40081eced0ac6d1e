/** What becomes of a model in a reload, as it is told to whoever asked for it: over the control socket, a line of JSON each. */
import { z } from "zod";

export const News = z.object({
  model: z.string(),
  what: z.enum(["opened", "unchanged", "removed", "refused", "waiting"]),
  weights: z.string().optional(),
  /** With `refused` and `waiting`. */
  why: z.string().optional(),
});
export type News = z.infer<typeof News>;

/** The last line. */
export const Over = z.object({
  over: z.union([
    z.literal("done"),
    /** A newer one took its place. */
    z.literal("superseded"),
    /** The node has not enrolled yet: it opens what is wanted now once it has. */
    z.literal("later"),
    /** The options cannot be read: `why`. Nothing was changed. */
    z.literal("refused"),
  ]),
  why: z.string().optional(),
});
export type Over = z.infer<typeof Over>;

export const RELOAD = "reload";
export const SOCKET_FILE = "control.sock";
