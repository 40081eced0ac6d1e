/**
 * What an operator sets about an account and its keys, and what can be read back. The account's object owns these; D1
 * has lists of them.
 */
import type { AdmitRefusal, CacheSetting, UpstreamsAllowed } from "@sluice/protocol/account";
import type { AccountEvent, AttemptTrace, CreditKind, UsageEvent } from "@sluice/protocol/account-log";
import type { KeyScope, Limits } from "./limits.ts";

export type AccountSettings = {
  readonly account: string;
  readonly name?: string;
  readonly suspended?: boolean;
  /** Null: any region. */
  readonly regions?: readonly string[] | null;
  /** Of cached answers; null: the default. */
  readonly cache?: CacheSetting | null;
  /** Where its requests may overflow to when no node has room. */
  readonly upstreams?: UpstreamsAllowed;
} & Partial<Limits>;

/** What can be said of a key after it was made; what is left out stays. */
export type KeyChange = {
  readonly name?: string;
  readonly scopes?: readonly KeyScope[];
  readonly expiresAtMs?: number | null;
  /** Null: every model. */
  readonly models?: readonly string[] | null;
  /** Null: every region of the account. */
  readonly regions?: readonly string[] | null;
  /** Of cached answers; null: as the account says. */
  readonly cache?: CacheSetting | null;
  /** Where its requests may overflow to, of what the account allows; any of that where not given. */
  readonly upstreams?: UpstreamsAllowed;
} & Partial<Limits>;

export type KeySettings = KeyChange & {
  readonly id: string;
  readonly name: string;
  /** Of the secret part alone, 64 hex digits: the secret itself is shown once and stored nowhere. */
  readonly secretSha256: string;
  /** Of the whole key, for telling keys apart. */
  readonly lastFour?: string;
};

/** A new secret for a key. */
export type KeyRotation = {
  readonly secretSha256: string;
  readonly lastFour: string;
  /** Until when the secret before it still opens. */
  readonly oldUntilMs: number;
};

/** What a key with the scope `keys` asks for: done to keys below it alone. */
export type KeyDeedAsk = {
  readonly key: { readonly id: string; readonly secretSha256: string };
  readonly deed:
    | { readonly do: "make"; readonly key: KeySettings }
    | { readonly do: "list" }
    | { readonly do: "change"; readonly id: string; readonly change: KeyChange }
    | { readonly do: "rotate"; readonly id: string; readonly rotation: KeyRotation }
    | { readonly do: "revoke"; readonly id: string };
};

export type KeyDeedAnswer =
  | { readonly ok: true; readonly keys: readonly KeyStatus[] }
  | {
      readonly ok: false;
      readonly refusal:
        | Extract<AdmitRefusal, { kind: "unknown_key" | "key_revoked" | "key_expired" | "scope_missing" }>
        /** The maker has less in this field. */
        | {
            readonly kind: "exceeds_maker";
            readonly field: keyof Limits | "models" | "regions" | "expiresAtMs" | "scopes";
          }
        | { readonly kind: "too_deep"; readonly max: number }
        | { readonly kind: "too_many"; readonly max: number }
        /** No key of that id was made by the one that asks, or by one below it. */
        | { readonly kind: "not_below" };
    };

export type CreditGiven = {
  /** The operator's own id: giving it twice credits once. */
  readonly creditId: string;
  /** Negative: a correction. */
  readonly amountNanoUsd: number;
  readonly note: string;
  /** Topped up where absent. Granted money is spent first. */
  readonly kind?: CreditKind;
  /** Of granted money; null or absent: it never ends. */
  readonly expiresAtMs?: number | null;
};

export type CreditAnswer = {
  readonly balanceNanoUsd: number;
  /** Nothing was given: the balance would be beyond what is kept, or the id stands for another amount or kind. */
  readonly refused?: "beyond_balance" | "other_credit";
};

/** What is used of the limits now. Days and months are UTC's. */
export type UsedNow = {
  readonly requestsToday: number;
  readonly spentTodayNanoUsd: number;
  readonly spentThisMonthNanoUsd: number;
  readonly spentNanoUsd: number;
  /** By requests that run now: it counts against budgets as if it were spent. */
  readonly heldNanoUsd: number;
  readonly open: number;
};

/** A key without its secret. */
export type KeyStatus = Limits & {
  readonly id: string;
  readonly name: string;
  readonly lastFour: string;
  readonly scopes: readonly KeyScope[];
  /** The key that made it; null: an operator. */
  readonly madeBy: string | null;
  readonly expiresAtMs: number | null;
  readonly revokedAtMs: number | null;
  readonly models: readonly string[] | null;
  readonly regions: readonly string[] | null;
  /** Of what the account allows; a key that made it narrows it too. */
  readonly upstreams: UpstreamsAllowed;
  /** Until when the secret before the last rotation still opens; null where there is none. */
  readonly oldSecretUntilMs: number | null;
  readonly used: UsedNow;
};

export type AccountStatus = Limits & {
  readonly account: string;
  readonly name: string;
  readonly suspended: boolean;
  /** As they are set; null where there is none. */
  readonly regions: readonly string[] | null;
  readonly upstreams: UpstreamsAllowed;
  readonly used: UsedNow;
  /** All of it: granted and topped up. */
  readonly balanceNanoUsd: number;
  readonly grantedNanoUsd: number;
  readonly toppedUpNanoUsd: number;
  /** The granted part by its end, what ends first in front; null: never. */
  readonly grants: readonly { readonly leftNanoUsd: number; readonly expiresAtMs: number | null }[];
  readonly heldNanoUsd: number;
  readonly holdsOpen: number;
  /** Holds whose request has ended, but whose receipt has not come yet. */
  readonly holdsPending: number;
  readonly eventsUnprojected: number;
  readonly lastSeq: number;
};

/** What a key may know of itself and its account: whoever shows its secret. */
export type KeyLook = {
  readonly account: AccountStatus;
  readonly key: KeyStatus;
  /** Of the request that was asked about, as far as the object still knows it: the newest event, or that it runs. */
  readonly request: UsageEvent | RunningRequest | null;
};

/** The object's own log beyond a number, for comparing it with D1's. */
export type LogAfter = {
  readonly balanceNanoUsd: number;
  readonly lastSeq: number;
  /** How far the object believes D1 to be. */
  readonly appliedSeq: number;
  /** Of the events beyond: how many are there, and what they did to the balance. */
  readonly count: number;
  readonly moneyNanoUsd: number;
  /** The first of them, without a gap; a hundred at most. */
  readonly events: readonly AccountEvent[];
};

export type RunningRequest = {
  readonly kind: "running";
  readonly request: string;
  readonly key: string;
  readonly model: string;
  readonly stream: boolean;
  readonly priceId: string;
  readonly admittedAtMs: number;
  readonly attempts: readonly AttemptTrace[];
};

export type LookAsk = {
  readonly key: { readonly id: string; readonly secretSha256: string };
  readonly request?: string;
};

/** The refusals are those of an admission: a revoked key learns nothing more. */
export type LookAnswer =
  | ({ readonly ok: true } & KeyLook)
  | {
      readonly ok: false;
      readonly refusal: Extract<
        AdmitRefusal,
        { kind: "unknown_key" | "key_revoked" | "key_expired" | "scope_missing" }
      >;
    };
