/**
 * The rows of an account's object as the rest of the room reads them, and back. Pure. What SQLite gives back is parsed:
 * a row of an older shape fails here, loudly, and not as a wrong sum somewhere else.
 */
import { UpstreamsAllowed } from "@sluice/protocol/account";
import { z } from "zod";
import { KEY_SCOPES, type Limits } from "../core/limits.ts";
import type { KnownKey } from "./admission.ts";
import type { Hold } from "./facts.ts";
import type { Grants } from "./grants.ts";

const flag = z.int().transform((value) => value !== 0);
const names = z
  .string()
  .nullable()
  .transform((text) => (text === null ? null : z.array(z.string()).parse(JSON.parse(text))));

const grants = z.string().transform((text): Grants => z.array(GrantJson).parse(JSON.parse(text)));
/** Credits keep sums in the range of safe integers; what an older build let beyond it is no reason not to wake. */
const sum = z.number();
const GrantJson = z.object({ leftNanoUsd: sum.min(1), expiresAtMs: z.int().nullable() });

const limitOf = z.int().nullable().default(null);
const LimitsJson = z.object({
  requestsPerMinute: limitOf,
  tokensPerMinute: limitOf,
  requestsPerDay: limitOf,
  concurrency: limitOf,
  budgetDayNanoUsd: limitOf,
  budgetMonthNanoUsd: limitOf,
  budgetTotalNanoUsd: limitOf,
});
const limits = z.string().transform((text): Limits => LimitsJson.parse(JSON.parse(text)));

export const AccountRow = z
  .object({
    account: z.string(),
    name: z.string(),
    suspended: flag,
    regions: names,
    upstreams: UpstreamsAllowed,
    limits,
    cache_salt: z.string(),
    balance_nano_usd: sum,
    grants,
    counters: z.string(),
    free_slots: z.string().transform((text) => z.array(z.int()).parse(JSON.parse(text))),
    tail: z.string(),
    last_seq: z.int(),
    applied_seq: z.int(),
  })
  .transform((row) => ({
    account: {
      account: row.account,
      name: row.name,
      suspended: row.suspended,
      regions: row.regions,
      upstreams: row.upstreams,
      limits: row.limits,
      cacheSalt: row.cache_salt,
      balanceNanoUsd: row.balance_nano_usd,
      grants: row.grants,
      counters: row.counters,
      lastSeq: row.last_seq,
      appliedSeq: row.applied_seq,
    },
    freeSlots: row.free_slots,
    tail: row.tail,
  }));
export type AccountState = Readonly<z.infer<typeof AccountRow>["account"]>;

export const KeyRow = z.object({
  id: z.string(),
  name: z.string(),
  secret_sha256: z.string(),
  expires_at_ms: z.int().nullable(),
  revoked_at_ms: z.int().nullable(),
  models: names,
  regions: names,
  upstreams: UpstreamsAllowed,
  limits,
  scopes: z.string().transform((text) => z.array(z.enum(KEY_SCOPES)).parse(JSON.parse(text))),
  made_by: z.string().nullable(),
  last_four: z.string(),
  old_sha256: z.string().nullable(),
  old_until_ms: z.int().nullable(),
});

export function readKey(row: z.infer<typeof KeyRow>): KnownKey {
  return {
    id: row.id,
    name: row.name,
    secretSha256: row.secret_sha256,
    expiresAtMs: row.expires_at_ms,
    revokedAtMs: row.revoked_at_ms,
    models: row.models,
    regions: row.regions,
    upstreams: row.upstreams,
    limits: row.limits,
    scopes: row.scopes,
    madeBy: row.made_by,
    lastFour: row.last_four,
    old:
      row.old_sha256 === null || row.old_until_ms === null
        ? null
        : { secretSha256: row.old_sha256, untilMs: row.old_until_ms },
  };
}

const HoldState = z.enum(["open", "ended", "pending", "closed"]);

/** The columns SQL has to know; the rest of a hold is JSON that only this room writes. */
export const HoldRow = z.object({
  request: z.string(),
  key: z.string(),
  state: HoldState,
  held_nano_usd: z.int(),
  due_at_ms: z.int(),
  admission: z.int(),
  facts: z.string(),
});

type Facts = Omit<Hold, "request" | "key" | "state" | "heldNanoUsd" | "dueAtMs" | "admission">;

export function readHold(row: z.infer<typeof HoldRow>): Hold {
  return {
    ...(JSON.parse(row.facts) as Facts),
    request: row.request,
    key: row.key,
    state: row.state,
    heldNanoUsd: row.held_nano_usd,
    dueAtMs: row.due_at_ms,
    admission: row.admission,
  };
}

export function holdColumns(hold: Hold) {
  const { request, key, state, heldNanoUsd, dueAtMs, admission = 0, ...facts } = hold;
  return {
    request,
    key,
    state,
    heldNanoUsd,
    dueAtMs,
    admission,
    facts: JSON.stringify(facts satisfies Facts),
  } as const;
}

export function listed(names: readonly string[] | null): string | null {
  return names === null ? null : JSON.stringify(names);
}
