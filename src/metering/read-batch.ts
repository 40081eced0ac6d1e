/**
 * A queue's message as a batch of events; undefined where it is none that this build can read. Pure.
 *
 * The surprising choice: checked by hand and not with the schema. An account's object of this deployment wrote every event, and
 * each is read here once: the question is whether the writer was a build that means the same, not what a stranger might send. So
 * every field that the history is made of is looked at, and nothing is copied.
 */
import {
  Certainty,
  type AccountEvent,
  type AttemptTrace,
  type CreditEvent,
  type EventBatch,
  type UsageEvent,
} from "@sluice/protocol/account-log";
import { SPOKEN } from "@sluice/protocol/version";

const EVENTS_MAX = 100;

type Fields = { readonly [name: string]: unknown };
/** The names of those fields of an event that have to be there with this type. */
type Named<Event, Type> = { [Name in keyof Event]-?: Event[Name] extends Type ? Name : never }[keyof Event];

const USAGE_TEXTS = [
  "request",
  "key",
  "model",
  "ended",
  "priceId",
  "weights",
] as const satisfies readonly Named<UsageEvent, string>[];

const CERTAINTIES: ReadonlySet<unknown> = new Set(Certainty.options);

const USAGE_COUNTS = [
  "revision",
  "promptTokens",
  "cachedTokens",
  "completionTokens",
  "reasoningTokens",
  "costNanoUsd",
  "admittedAtMs",
  "closedAtMs",
] as const satisfies readonly Named<UsageEvent, number>[];

/** These may be less than nothing. */
const USAGE_AMOUNTS = ["chargedNanoUsd", "writeOffNanoUsd"] as const satisfies readonly Named<
  UsageEvent,
  number
>[];

const CREDIT_TEXTS = ["creditId", "note"] as const satisfies readonly Named<CreditEvent, string>[];
const CREDIT_AMOUNTS = ["amountNanoUsd", "atMs"] as const satisfies readonly Named<CreditEvent, number>[];

/** Builds before this one sent the batch itself, this one sends its text. */
export function readBatch(body: unknown): EventBatch | undefined {
  const batch = typeof body === "string" ? parsed(body) : body;
  if (!isObject(batch)) return undefined;
  const { v, account, events } = batch;
  const understood = Number.isInteger(v) && Number(v) >= SPOKEN.min && Number(v) <= SPOKEN.max;
  if (!understood || typeof account !== "string" || account === "") return undefined;
  if (!Array.isArray(events) || events.length === 0 || events.length > EVENTS_MAX) return undefined;
  return events.every(isEvent) ? (batch as EventBatch) : undefined;
}

function isEvent(event: unknown): event is AccountEvent {
  if (!isObject(event) || !isCount(event["seq"]) || event["seq"] === 0) return false;
  if (event["kind"] === "credit") return haveTexts(event, CREDIT_TEXTS) && haveAmounts(event, CREDIT_AMOUNTS);
  const { attempts } = event;
  return (
    event["kind"] === "usage" &&
    typeof event["stream"] === "boolean" &&
    CERTAINTIES.has(event["certainty"]) &&
    haveTexts(event, USAGE_TEXTS) &&
    USAGE_COUNTS.every((name) => isCount(event[name])) &&
    haveAmounts(event, USAGE_AMOUNTS) &&
    Array.isArray(attempts) &&
    attempts.every(isAttempt)
  );
}

function isAttempt(attempt: unknown): attempt is AttemptTrace {
  return (
    isObject(attempt) &&
    isCount(attempt["ordinal"]) &&
    isCount(attempt["to"]) &&
    typeof attempt["ended"] === "string" &&
    isTextOrNull(attempt["node"]) &&
    isTextOrNull(attempt["region"]) &&
    (attempt["receipt"] === undefined ||
      (isObject(attempt["receipt"]) && haveTexts(attempt["receipt"], ["body", "sig"])))
  );
}

function haveTexts(fields: Fields, names: readonly string[]): boolean {
  return names.every((name) => typeof fields[name] === "string");
}

function haveAmounts(fields: Fields, names: readonly string[]): boolean {
  return names.every((name) => Number.isSafeInteger(fields[name]));
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isTextOrNull(value: unknown): boolean {
  return value === null || typeof value === "string";
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
