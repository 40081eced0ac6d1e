/**
 * `/v1/keys`: keys that an account's own key makes, where it has the scope `keys`. A key never exceeds the one that made
 * it, and goes with it: revoke the maker, and all it made starts nothing any more. A secret is shown once.
 */
import { KeyId, randomName, Region } from "@sluice/protocol/ids";
import { fromUtf8 } from "@sluice/protocol/bytes";
import { Hono } from "hono";
import { z } from "zod";
import { admissionFault } from "../account/faults.ts";
import { authenticate, rememberRefusal, type Principal } from "../auth/authenticate.ts";
import { KEY_DICE_BYTES, makeKey } from "../auth/key.ts";
import type { KeyChange, KeyDeedAnswer, KeyDeedAsk, KeySettings, KeyStatus } from "../core/account.ts";
import { accountObject, type Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { KEY_SCOPES, type Limits } from "../core/limits.ts";
import { parseUsd, printUsd } from "../core/money.ts";
import { secretsOf } from "../core/secrets.ts";
import { listKey, markRevoked, renewKey } from "../db/accounts.ts";
import { readBody } from "../wire/body.ts";
import { invalid } from "./query.ts";

const BODY_BYTES_MAX = 64 * 1024;
const KEY_NAME_CHARS = 10;
const NAMES_MAX = 64;
const COUNT_MAX = 1_000_000_000;
const OVERLAP_S_DEFAULT = 24 * 60 * 60;
const OVERLAP_S_MAX = 30 * 24 * 60 * 60;
const NANO_USD_MAX = 1_000_000_000_000_000;

const count = z.int().min(1).max(COUNT_MAX).nullable().exactOptional();
/** Dollars as text, "12.50", or null. */
const usd = z
  .string()
  .transform((text, context) => {
    const nanoUsd = parseUsd(text);
    if (nanoUsd !== undefined && nanoUsd >= 0 && nanoUsd <= NANO_USD_MAX) return nanoUsd;
    context.addIssue({ code: "custom", message: 'is no amount like "12.50"' });
    return z.NEVER;
  })
  .nullable()
  .exactOptional();

const Name = z.string().trim().min(1).max(100);
const SETTINGS = {
  /** In seconds; null: never. */
  expires_at: z
    .int()
    .min(0)
    .max(COUNT_MAX * 10)
    .nullable()
    .exactOptional(),
  models: z.array(z.string().min(1).max(128)).min(1).max(NAMES_MAX).nullable().exactOptional(),
  regions: z.array(Region).min(1).max(NAMES_MAX).nullable().exactOptional(),
  scopes: z.array(z.enum(KEY_SCOPES)).min(1).max(KEY_SCOPES.length).exactOptional(),
  limits: z
    .strictObject({
      requests_per_minute: count,
      tokens_per_minute: count,
      requests_per_day: count,
      concurrency: count,
      budget_day_usd: usd,
      budget_month_usd: usd,
      budget_total_usd: usd,
    })
    .default({}),
};
const MakeKey = z.strictObject({ name: Name, ...SETTINGS });
/** What is left out stays. */
const ChangeKey = z.strictObject({ name: Name.exactOptional(), ...SETTINGS });
const RotateKey = z.strictObject({ overlap_s: z.int().min(0).max(OVERLAP_S_MAX).default(OVERLAP_S_DEFAULT) });

const FIELDS: { readonly [L in keyof Limits]: keyof z.output<typeof MakeKey>["limits"] } = {
  requestsPerMinute: "requests_per_minute",
  tokensPerMinute: "tokens_per_minute",
  requestsPerDay: "requests_per_day",
  concurrency: "concurrency",
  budgetDayNanoUsd: "budget_day_usd",
  budgetMonthNanoUsd: "budget_month_usd",
  budgetTotalNanoUsd: "budget_total_usd",
};
const LIMIT_NAMES = Object.keys(FIELDS) as (keyof Limits)[];

export const madeKeys = new Hono<{ Bindings: Env }>();

madeKeys.post("/", async (c) => {
  const who = await authenticate(secretsOf(c.env), c.req.raw.headers, Date.now());
  const { name, ...asked } = await readJson(c.req.raw, MakeKey);
  const nowMs = Date.now();
  const change = changeOf(asked, nowMs);
  const id = `key_${randomName(KEY_NAME_CHARS, crypto.getRandomValues(new Uint8Array(KEY_NAME_CHARS)))}`;
  const made = await newSecret(c.env, who, id);
  const { secretSha256, lastFour } = made;
  const settings: KeySettings = { id, name, secretSha256, lastFour, ...change };
  const [key] = await act(c.env, who, { do: "make", key: settings });
  const row = { id, account: who.account, name, lastFour, createdAtMs: nowMs, revokedAtMs: null };
  await listKey(c.env, row).catch(unreachable);
  return c.json({ ...(key && print(key)), secret: made.key }, 201, FRESH);
});

madeKeys.get("/", async (c) => {
  const who = await authenticate(secretsOf(c.env), c.req.raw.headers, Date.now());
  const keys = await act(c.env, who, { do: "list" });
  return c.json({ object: "list", data: keys.map(print) }, 200, FRESH);
});

/** A name, or less than it had; or more, up to what the key has that made it. */
madeKeys.patch("/:key", async (c) => {
  const who = await authenticate(secretsOf(c.env), c.req.raw.headers, Date.now());
  const { name, ...asked } = await readJson(c.req.raw, ChangeKey);
  const id = keyOf(c.req.param("key"));
  const change = { ...(name === undefined ? {} : { name }), ...changeOf(asked, Date.now()) };
  const [key] = await act(c.env, who, { do: "change", id, change });
  if (name !== undefined) await renewKey(c.env, id, { name }).catch(unreachable);
  return c.json({ ...(key && print(key)) }, 200, FRESH);
});

madeKeys.post("/:key/rotate", async (c) => {
  const who = await authenticate(secretsOf(c.env), c.req.raw.headers, Date.now());
  const { overlap_s } = await readJson(c.req.raw, RotateKey);
  const id = keyOf(c.req.param("key"));
  const made = await newSecret(c.env, who, id);
  const { secretSha256, lastFour } = made;
  const rotation = { secretSha256, lastFour, oldUntilMs: Date.now() + overlap_s * 1_000 };
  const [key] = await act(c.env, who, { do: "rotate", id, rotation });
  await renewKey(c.env, id, { lastFour }).catch(unreachable);
  return c.json({ ...(key && print(key)), secret: made.key }, 200, FRESH);
});

madeKeys.delete("/:key", async (c) => {
  const who = await authenticate(secretsOf(c.env), c.req.raw.headers, Date.now());
  const id = keyOf(c.req.param("key"));
  const [key] = await act(c.env, who, { do: "revoke", id });
  await markRevoked(c.env, id, Date.now()).catch(unreachable);
  return c.json({ ...(key && print(key)) }, 200, FRESH);
});

/** What was asked for, in the object's words. */
function changeOf(asked: Omit<z.output<typeof ChangeKey>, "name">, nowMs: number): KeyChange {
  const { expires_at, limits, ...rest } = asked;
  const expiresAtMs = expires_at === undefined || expires_at === null ? expires_at : expires_at * 1_000;
  if ((expiresAtMs ?? Infinity) <= nowMs) throw invalid("expires_at", "'expires_at' is in the past.");
  const given: Partial<Limits> = Object.fromEntries(
    LIMIT_NAMES.flatMap((field) => {
      const value = limits[FIELDS[field]];
      return value === undefined ? [] : [[field, value]];
    }),
  );
  return { ...rest, ...(expiresAtMs === undefined ? {} : { expiresAtMs }), ...given };
}

/** Secrets are nobody's to keep. */
const FRESH = { "cache-control": "no-store" };

function newSecret(env: Env, { account }: Principal, keyId: string) {
  const dice = crypto.getRandomValues(new Uint8Array(KEY_DICE_BYTES));
  return makeKey(secretsOf(env), { account, keyId }, dice);
}

/** A malformed id names nothing. */
function keyOf(text: string): string {
  const id = KeyId.safeParse(text).data;
  if (id === undefined) throw notBelow(text);
  return id;
}

function notBelow(id: string): FaultError {
  return new FaultError({ kind: "not_found", what: `/v1/keys/${id.slice(0, 40)}` });
}

async function act(env: Env, who: Principal, deed: KeyDeedAsk["deed"]): Promise<readonly KeyStatus[]> {
  const key = { id: who.keyId, secretSha256: who.secretSha256 };
  const answer: KeyDeedAnswer = await accountObject(env, who.account)
    .doAsKey({ key, deed })
    .catch(unreachable);
  if (answer.ok) return answer.keys;
  throw refusalFault(who, answer.refusal, deed);
}

function refusalFault(
  who: Principal,
  refusal: Extract<KeyDeedAnswer, { ok: false }>["refusal"],
  deed: KeyDeedAsk["deed"],
): FaultError {
  switch (refusal.kind) {
    case "exceeds_maker": {
      const param = paramOf(refusal.field);
      return invalid(
        param,
        `'${param}' may not exceed what the key that makes it has itself. GET /v1/key shows it.`,
      );
    }
    case "too_deep":
      return invalid(null, `A key has at most ${refusal.max - 1} keys above it.`);
    case "too_many":
      return invalid(null, `A key has at most ${refusal.max} keys below it, revoked ones included.`);
    case "not_below":
      return notBelow("id" in deed ? deed.id : "");
    case "unknown_key":
    case "key_revoked":
    case "key_expired":
    case "scope_missing": {
      const fault = admissionFault(refusal, "");
      if (fault.kind === "unauthenticated") rememberRefusal(who, fault, Date.now());
      return new FaultError(fault);
    }
  }
}

function paramOf(field: Extract<Refused, { kind: "exceeds_maker" }>["field"]): string {
  if (field === "expiresAtMs") return "expires_at";
  const limit = LIMIT_NAMES.find((name) => name === field);
  return limit === undefined ? field : `limits.${FIELDS[limit]}`;
}

type Refused = Extract<KeyDeedAnswer, { ok: false }>["refusal"];

async function readJson<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
): Promise<z.output<Schema>> {
  let body: unknown;
  try {
    const text = fromUtf8(await readBody(request, BODY_BYTES_MAX));
    body = text.trim() === "" ? {} : JSON.parse(text);
  } catch (error) {
    if (error instanceof FaultError) throw error;
    throw invalid(null, "The body is not valid JSON.");
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const named =
    issue?.code === "unrecognized_keys" ? [...issue.path, ...issue.keys.slice(0, 1)] : (issue?.path ?? []);
  const param = named.map(String).join(".");
  throw invalid(param === "" ? null : param, `Invalid '${param}': ${issue?.message ?? "malformed"}.`);
}

/** A store that is away is no fault of the caller's, and worth another try. */
function unreachable(cause: unknown): never {
  throw new FaultError({ kind: "storage_unavailable" }, { cause });
}

/** Enough to tell keys apart, too little to use one. */
function print(key: KeyStatus) {
  const { id, name, lastFour, scopes, models, regions, madeBy, used } = key;
  const second = (ms: number | null): number | null => (ms === null ? null : Math.floor(ms / 1_000));
  return {
    object: "key",
    id,
    name,
    shown: `sk-sluice-...${lastFour}`,
    made_by: madeBy,
    scopes,
    models,
    regions,
    expires_at: second(key.expiresAtMs),
    revoked_at: second(key.revokedAtMs),
    old_secret_until: second(key.oldSecretUntilMs),
    limits: Object.fromEntries(
      LIMIT_NAMES.map((field) => {
        const value = key[field];
        return [FIELDS[field], value !== null && field.endsWith("NanoUsd") ? printUsd(value) : value];
      }),
    ),
    spend: {
      currency: "USD",
      day: printUsd(used.spentTodayNanoUsd),
      month: printUsd(used.spentThisMonthNanoUsd),
      total: printUsd(used.spentNanoUsd),
    },
    running: used.open,
  };
}
