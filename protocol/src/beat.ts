/**
 * The beat: once a second, and within 50 ms of a new receipt, a node tells the edge how it is, what has finished and
 * what still runs; the reply acknowledges, commands, and tells the time. POST `/node/v1/beat`, the body signed by the
 * node's key (`x-sluice-node`, `x-sluice-signature`). Beats carry the node's boot id and a sequence number that only
 * rises: a stale or repeated one is refused, a newer boot fences the older.
 *
 * `completeThroughMs` = T promises: every call I accepted whose last valid moment (issued-at + 10 s, the edge's clock)
 * is at or before T has been named, as a receipt or a renewal, in a beat that was acknowledged; and from now on I refuse
 * any such call. It is what lets the edge close at zero a hold that no beat ever named. T never falls: the node keeps it
 * in its journal before it is sent. It says nothing of calls issued before `journalSinceMs`, the moment (edge's clock)
 * the journal was made: a node with a new disk does not vouch for what the old one knew.
 *
 * One bad value must not stop a node's money: load and models fall back, receipts and renewals are judged one by one.
 */
import { z } from "zod";
import { CallKeyList } from "./enrol.ts";
import { BootId, NodeId, RequestId, SecretId } from "./ids.ts";
import { BEAT_RECEIPTS_MAX, BEAT_RENEWALS_MAX, TICKET_CHARS_MAX } from "./limits.ts";
import { Signed } from "./sign.ts";
import { Sketch } from "./sketch.ts";
import { Version, VersionRange } from "./version.ts";

export const BEAT_PATH = "/node/v1/beat";
export const NODE_HEADER = "x-sluice-node";
export const SIGNATURE_HEADER = "x-sluice-signature";

const whole = z.int().min(0).catch(0);
const speed = z.number().min(0).catch(0);

export const Load = z.object({
  slots: whole,
  slotsBusy: whole,
  queued: whole,
  queueMax: whole,
  /** Prompt tokens waiting or being evaluated: what a newcomer has to wait for. */
  prefillTokensPending: whole,
  /** Measured, smoothed; 0 where nothing has been measured yet. */
  prefillTokensPerS: speed,
  decodeTokensPerS: speed,
  kvTokensFree: whole,
  /** A server behind the node does not say how loaded it is: these numbers know of the node's own calls alone. */
  ownOnly: z.literal(true).optional().catch(undefined),
});
export type Load = z.infer<typeof Load>;

export const ServedModel = z.object({
  id: z.string().min(1).max(128),
  weights: z.string().min(1).max(128),
  contextTokens: z.int().min(1),
  /** What the engine can do beyond plain chat, as short words: "tools", "logprobs", "resume"... */
  features: z.array(z.string().max(32)).max(64),
  /** What calls may ask of any engine and this one refuses ("top_k", "thinking_on"); who says nothing takes all of it. */
  lacks: z.array(z.string().max(32)).max(16).optional().catch(undefined),
  /** While its engine starts (again): about how long until it answers, by what its starts have taken. */
  wakeMs: z.int().min(0).optional().catch(undefined),
  /** Of a node with several models: this one's part of the load. Absent: the beat's load is all this model's. */
  load: Load.optional().catch(undefined),
});
export type ServedModel = z.infer<typeof ServedModel>;

/** An attempt that is still running. */
export const Renewal = z.object({
  ticket: z.string().min(1).max(TICKET_CHARS_MAX),
  position: z.int().min(0),
});
export type Renewal = z.infer<typeof Renewal>;

/** A list of which every element is judged by itself: what is not one is left out, and so never acknowledged. */
function each<Item>(schema: z.ZodType<Item>, max: number) {
  return z
    .array(z.unknown())
    .max(max)
    .transform((items) =>
      items.flatMap((raw) => {
        const item = schema.safeParse(raw);
        return item.success ? [item.data] : [];
      }),
    );
}

export const Beat = z.object({
  v: Version,
  speaks: VersionRange,
  node: NodeId,
  boot: BootId,
  seq: z.int().min(0),
  /** By the node's own clock: the reply's `edgeTimeMs` and the round trip give the offset. */
  sentAtMs: z.int().min(0),
  state: z.enum(["loading", "ready", "draining"]).catch("loading"),
  /** Those that take calls now; while none does, those that will again. */
  models: z.array(ServedModel).max(64).catch([]),
  /** Of all models together. */
  load: Load,
  receipts: each(Signed, BEAT_RECEIPTS_MAX),
  renew: each(Renewal, BEAT_RENEWALS_MAX),
  completeThroughMs: z.int().min(0),
  journalSinceMs: z.int().min(0),
  /** The ids of the call keys this node holds: the edge signs with the newest both sides have. */
  callKeyIds: z.array(SecretId).max(4),
  /** Which prompts' beginnings are cached. Absent: as this boot said last; from a node that never says, nothing is known. */
  sketch: Sketch.optional().catch(undefined),
});
export type Beat = z.infer<typeof Beat>;

export const AttemptName = z.object({
  request: RequestId,
  ordinal: z.int().min(0),
  choice: z.int().min(0).default(0),
});
export type AttemptName = z.infer<typeof AttemptName>;

/** What the edge wants done. A node ignores a command it does not know. */
export const Command = z.discriminatedUnion("do", [
  /** Take no new calls; what runs may finish until the deadline. */
  z.object({ do: z.literal("drain"), deadlineMs: z.int().min(0) }),
  z.object({ do: z.literal("resume_service") }),
  /** End one attempt now, as if its reader had left. */
  z.object({ do: z.literal("abort"), attempt: AttemptName }),
]);
export type Command = z.infer<typeof Command>;

const KnownCommands = z.array(z.unknown()).transform((commands) =>
  commands.flatMap((raw) => {
    const command = Command.safeParse(raw);
    return command.success ? [command.data] : [];
  }),
);

export const BeatReply = z.object({
  v: Version,
  edgeTimeMs: z.int().min(0),
  /** Receipts that are settled for good: the node need not send them again. */
  acks: z.array(AttemptName),
  /** Renewals that reached their account: from now on these attempts count as named. */
  renewed: z.array(AttemptName),
  /**
   * Receipts no edge will ever take: kept by the node, sent no more. What an edge merely cannot read yet (another
   * version, a secret it does not hold) is neither here nor among the acks: the node sends it again, with pauses.
   */
  rejected: z.array(z.object({ ticket: z.string(), why: z.enum(["forged", "impossible"]) })),
  commands: KnownCommands,
  /** The edge has lost what this boot has said of its cache (its memory is gone): the next beat shall say it again. */
  saySketch: z.boolean().optional().catch(undefined),
  /** Sent while the node lacks the current call key: all the keys it shall hold from now on, newest first. */
  callKeys: CallKeyList.optional(),
});
export type BeatReply = z.infer<typeof BeatReply>;
