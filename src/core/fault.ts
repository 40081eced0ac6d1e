/**
 * Everything that can go wrong with a client's call, as one closed union, each kind with its data. Rooms throw
 * `FaultError`; pure code returns decisions. Each dialect maps the union exhaustively in wire/, so a new kind does not
 * compile until every dialect has said how it looks. Programmer errors are not faults: they assert.
 */
import type { Overrun } from "@sluice/protocol/account";

export type Fault =
  /** The body could not be read as what the dialect expects. `param` names the field, as a path. */
  | { readonly kind: "invalid_request"; readonly message: string; readonly param: string | null }
  /** The field is known and the model or its engine cannot honour it. */
  | { readonly kind: "unsupported_parameter"; readonly message: string; readonly param: string }
  | { readonly kind: "too_large"; readonly bytesMax: number }
  | { readonly kind: "not_found"; readonly what: string }
  | { readonly kind: "method_not_allowed"; readonly allow: string }
  | { readonly kind: "model_not_found"; readonly model: string }
  | { readonly kind: "model_forbidden"; readonly model: string }
  | { readonly kind: "context_exceeded"; readonly promptTokens: number; readonly contextTokens: number }
  | {
      readonly kind: "unauthenticated";
      readonly why: "missing" | "malformed" | "unknown" | "revoked" | "expired";
    }
  | { readonly kind: "account_suspended" }
  | {
      readonly kind: "rate_limited";
      readonly limit: "requests_per_minute";
      readonly scope: "account" | "key";
      readonly max: number;
      readonly retryAfterMs: number;
    }
  | { readonly kind: "concurrency_limited"; readonly scope: "account" | "key"; readonly max: number }
  | {
      readonly kind: "insufficient_balance";
      readonly neededNanoUsd: number;
      readonly freeNanoUsd: number;
      /** True where running requests hold money that may come back. */
      readonly heldByOthers: boolean;
    }
  /** No node has room, or none is alive; `interrupted`: the one that was answering was lost, and no other could go on. */
  | { readonly kind: "overloaded"; readonly retryAfterMs: number; readonly interrupted?: true }
  /** Nodes were asked and failed. */
  | { readonly kind: "upstream_failed" }
  | { readonly kind: "upstream_timeout"; readonly limit: Overrun }
  /** Nothing is there to serve it within the regions it may use. `never`: no node ever could, whatever comes back. */
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
