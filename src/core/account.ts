/**
 * What an operator sets about an account and its keys, and what can be read back. The account's object owns these; D1
 * has lists of them.
 */
import type {
  AdmitRefusal,
  AttemptTrace,
  CacheSetting,
  CreditKind,
  UsageEvent,
} from "@sluice/protocol/account";

export type AccountSettings = {
  readonly account: string;
  readonly name?: string;
  readonly suspended?: boolean;
  /** Null: any region. */
  readonly regions?: readonly string[] | null;
  /** Null: no limit. */
  readonly requestsPerMinute?: number | null;
  readonly concurrency?: number | null;
  /** Of cached answers; null: the default. */
  readonly cache?: CacheSetting | null;
};

export type KeySettings = {
  readonly id: string;
  readonly name: string;
  /** Of the secret part alone, 64 hex digits: the secret itself is shown once and stored nowhere. */
  readonly secretSha256: string;
  readonly expiresAtMs?: number | null;
  /** Null: every model. */
  readonly models?: readonly string[] | null;
  readonly requestsPerMinute?: number | null;
  readonly concurrency?: number | null;
  /** Of cached answers; null: as the account says. */
  readonly cache?: CacheSetting | null;
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

export type AccountStatus = {
  readonly account: string;
  readonly name: string;
  readonly suspended: boolean;
  /** As they are set; null where there is none. */
  readonly regions: readonly string[] | null;
  readonly requestsPerMinute: number | null;
  readonly concurrency: number | null;
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

export type KeyStatus = {
  readonly id: string;
  readonly name: string;
  readonly expiresAtMs: number | null;
  readonly models: readonly string[] | null;
  readonly requestsPerMinute: number | null;
  readonly concurrency: number | null;
  /** Requests of this key that run now. */
  readonly open: number;
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
      readonly refusal: Extract<AdmitRefusal, { kind: "unknown_key" | "key_revoked" | "key_expired" }>;
    };
