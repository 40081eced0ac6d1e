/**
 * How long a node may take, and for what: each limit has an ending of its own (protocol's Overrun), so that a row and a
 * log line say what was waited for. Defaults suit anything from a laptop to a full GPU; an operator changes them for
 * the deployment with SLUICE_TIMEOUTS, a JSON object of these names. What cannot be read is refused, not guessed.
 *
 * A node that lives says so every second, whatever its engine does. So `silence` is short, and tells of machines and
 * networks; the limits on tokens are longer, and tell of engines.
 */
import type { Overrun } from "@sluice/protocol/account";
import { z } from "zod";
import { FaultError } from "./fault.ts";

const MS_MAX = 24 * 60 * 60_000;

export type Timeouts = {
  /** Until a node has taken the call or refused it: the way there, reading the body, tokenising it. */
  readonly connectMs: number;
  /** On top of that for each KiB of the body: a long prompt takes its time to arrive and to be tokenised. */
  readonly connectMsPerKiB: number;
  readonly silenceMs: number;
  /** From the taking to the first token, the wait for a slot included... */
  readonly firstTokenMs: number;
  /** ...and on top of that for each token of the prompt. */
  readonly firstTokenMsPerPromptToken: number;
  readonly betweenTokensMs: number;
  /** The whole request, all nodes together. */
  readonly totalMs: number;
};

export const TIMEOUTS: Timeouts = {
  connectMs: 3_000,
  connectMsPerKiB: 2,
  silenceMs: 3_000,
  // A node lets a call wait 30 s for a slot.
  firstTokenMs: 60_000,
  // 50 prompt tokens a second: slower than any machine worth routing to.
  firstTokenMsPerPromptToken: 20,
  betweenTokensMs: 10_000,
  // A node's own limit on an attempt is half an hour.
  totalMs: 35 * 60_000,
};

const Ms = z.int().min(1).max(MS_MAX);
const MsPer = z.number().min(0).max(60_000);

const Given = z
  .strictObject({
    connectMs: Ms,
    connectMsPerKiB: MsPer,
    silenceMs: Ms,
    firstTokenMs: Ms,
    firstTokenMsPerPromptToken: MsPer,
    betweenTokensMs: Ms,
    totalMs: Ms,
  })
  .partial();

/** Throws where the text is not usable; says which field. */
export function parseTimeouts(text: string | undefined): Timeouts {
  if (text === undefined || text === "") return TIMEOUTS;
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    throw new Error("SLUICE_TIMEOUTS is not JSON");
  }
  const given = Given.safeParse(raw);
  if (!given.success) {
    const issue = given.error.issues[0];
    throw new Error(`SLUICE_TIMEOUTS: ${issue?.path.join(".") ?? ""} ${issue?.message ?? "is wrong"}`);
  }
  // A field that is present and undefined cannot come out of JSON.
  return { ...TIMEOUTS, ...(given.data as Partial<Timeouts>) };
}

/** Parsed once per isolate: the text only changes with a deployment. */
let parsed: { readonly text: string | undefined; readonly timeouts: Timeouts } = {
  text: undefined,
  timeouts: TIMEOUTS,
};

/** Throws a FaultError `misconfigured`. */
export function timeoutsOf({ SLUICE_TIMEOUTS: text }: { readonly SLUICE_TIMEOUTS?: string }): Timeouts {
  if (parsed.text === text) return parsed.timeouts;
  try {
    parsed = { text, timeouts: parseTimeouts(text) };
  } catch (error) {
    throw new FaultError({
      kind: "misconfigured",
      what: error instanceof Error ? error.message : "SLUICE_TIMEOUTS",
    });
  }
  return parsed.timeouts;
}

/** How far an attempt has come, by what has been heard of it. Written to with every batch, so it is not made anew. */
export type Waited = {
  readonly enteredAtMs: number;
  readonly calledAtMs: number;
  /** Absent until the node has taken the call. */
  takenAtMs?: number;
  /** When the last bytes came. */
  heardAtMs: number;
  /** When the last position came; absent before the first. */
  movedAtMs?: number;
  readonly bodyBytes: number;
  readonly promptTokens: number;
  /** It does not say that it lives: an upstream. Then only its tokens are waited for. */
  readonly quiet: boolean;
};

const KIB = 1_024;

/** Which limit has run out; undefined where none has. */
export function overrun(limits: Timeouts, waited: Waited, nowMs: number): Overrun | undefined {
  if (nowMs - waited.enteredAtMs > limits.totalMs) return "total";
  const { takenAtMs, movedAtMs } = waited;
  if (takenAtMs === undefined) {
    const connectMs = limits.connectMs + (limits.connectMsPerKiB * waited.bodyBytes) / KIB;
    return nowMs - waited.calledAtMs > connectMs ? "connect" : undefined;
  }
  if (!waited.quiet && nowMs - waited.heardAtMs > limits.silenceMs) return "silence";
  if (movedAtMs !== undefined)
    return nowMs - movedAtMs > limits.betweenTokensMs ? "between_tokens" : undefined;
  const firstTokenMs = limits.firstTokenMs + limits.firstTokenMsPerPromptToken * waited.promptTokens;
  return nowMs - takenAtMs > firstTokenMs ? "first_token" : undefined;
}
