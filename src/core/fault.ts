/**
 * Everything that can go wrong with a client's call, as one closed union, each kind with its data. Rooms throw
 * `FaultError`; pure code returns decisions. Each dialect maps the union exhaustively in wire/, so a new kind does not
 * compile until every dialect has said how it looks. Programmer errors are not faults: they assert.
 */
import type { Overrun } from "@sluice/protocol/account";

/** Whose limit is in the way: the account's, the key's, or that of a key which made it. */
export type LimitScope = "account" | "maker" | "key";

export type Fault =
  /** The body could not be read as what the dialect expects. `param` names the field, as a path. */
  | { readonly kind: "invalid_request"; readonly message: string; readonly param: string | null }
  /** The field is known and the model or its engine cannot honour it. */
  | { readonly kind: "unsupported_parameter"; readonly message: string; readonly param: string }
  | { readonly kind: "too_large"; readonly bytesMax: number }
  /** The body did not arrive in time: nothing of it came for `idleMs`, or not all within `totalMs`. */
  | { readonly kind: "too_slow"; readonly idleMs: number; readonly totalMs: number }
  | { readonly kind: "not_found"; readonly what: string }
  /** `allow` is the header: "GET, POST". */
  | { readonly kind: "method_not_allowed"; readonly allow: string }
  | { readonly kind: "model_not_found"; readonly model: string }
  | { readonly kind: "model_forbidden"; readonly model: string }
  | { readonly kind: "context_exceeded"; readonly promptTokens: number; readonly contextTokens: number }
  | {
      readonly kind: "unauthenticated";
      readonly why: "missing" | "malformed" | "unknown" | "revoked" | "expired";
    }
  | { readonly kind: "account_suspended" }
  /** The key may not be used for this: `scope` is what it lacks. */
  | { readonly kind: "scope_missing"; readonly scope: string }
  | {
      readonly kind: "rate_limited";
      readonly limit: "requests_per_minute" | "tokens_per_minute" | "requests_per_day";
      readonly scope: LimitScope;
      readonly max: number;
      readonly remaining?: number | undefined;
      /** Of tokens: what the request may use at most; beyond `max` no waiting helps. */
      readonly needed?: number | undefined;
      readonly retryAfterMs: number;
    }
  | { readonly kind: "concurrency_limited"; readonly scope: LimitScope; readonly max: number }
  | {
      readonly kind: "budget_exceeded";
      readonly scope: LimitScope;
      readonly period: "day" | "month" | "total";
      readonly maxNanoUsd: number;
      readonly spentNanoUsd: number;
      /** By running requests; it counts as spent. */
      readonly heldNanoUsd: number;
      readonly neededNanoUsd: number;
      /** Null: never. */
      readonly resetAtMs: number | null;
      readonly heldByOthers: boolean;
    }
  | {
      readonly kind: "insufficient_balance";
      readonly neededNanoUsd: number;
      readonly freeNanoUsd: number;
      /** True where running requests hold money that may come back. */
      readonly heldByOthers: boolean;
    }
  /** The `Idempotency-Key` stands for another call: one that runs, one that is over, or one with another body. */
  | {
      readonly kind: "idempotency_conflict";
      readonly state: "running" | "completed" | "changed";
      readonly request: string;
    }
  /** No node has room, or none is alive; `interrupted`: the one that was answering was lost, and no other could go on;
   *  `edge`: no node was asked, it is the edge that has too much to do. */
  | {
      readonly kind: "overloaded";
      readonly retryAfterMs: number;
      readonly interrupted?: true;
      readonly edge?: true;
    }
  /** Nodes were asked and failed. */
  | { readonly kind: "upstream_failed" }
  | { readonly kind: "upstream_timeout"; readonly limit: Overrun }
  /** Nothing is there to serve it within the regions it may use. `never`: no node ever could, whatever comes back;
   *  with no region at all, because account and key have none in common. */
  | { readonly kind: "data_residency_mismatch"; readonly regions: readonly string[]; readonly never: boolean }
  /** The deployment lacks something it must have. `what` names the setting, never its value. */
  | { readonly kind: "misconfigured"; readonly what: string }
  /** The books cannot be written: nothing runs that could not be billed. */
  | { readonly kind: "storage_unavailable" }
  /** The client left before there was a status to send; nobody reads the answer to this. */
  | { readonly kind: "client_gone" }
  | { readonly kind: "internal" };

export class FaultError extends Error {
  override readonly name = "FaultError";
  readonly fault: Fault;

  constructor(fault: Fault, options?: ErrorOptions) {
    super(fault.kind, options);
    this.fault = fault;
  }
}
