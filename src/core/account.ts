/**
 * What an operator sets about an account and its keys, and what can be read back. The account's object owns these; D1
 * has lists of them.
 */
import type { CacheSetting } from "@sluice/protocol/account";

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

export type AccountStatus = {
  readonly account: string;
  readonly name: string;
  readonly suspended: boolean;
  /** As they are set; null where there is none. */
  readonly regions: readonly string[] | null;
  readonly requestsPerMinute: number | null;
  readonly concurrency: number | null;
  readonly balanceNanoUsd: number;
  readonly heldNanoUsd: number;
  readonly holdsOpen: number;
  /** Holds whose request has ended, but whose receipt has not come yet. */
  readonly holdsPending: number;
  readonly eventsUnprojected: number;
  readonly lastSeq: number;
};
