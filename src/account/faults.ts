/**
 * An account object's refusals as faults: what a client is told when its key, a limit or its money says no. Pure.
 */
import type { AdmitRefusal } from "@sluice/protocol/account";
import type { Fault } from "../core/fault.ts";

export function admissionFault(refusal: AdmitRefusal, modelAs: string): Fault {
  switch (refusal.kind) {
    case "unknown_key":
      return { kind: "unauthenticated", why: "unknown" };
    case "key_revoked":
      return { kind: "unauthenticated", why: "revoked" };
    case "key_expired":
      return { kind: "unauthenticated", why: "expired" };
    case "model_forbidden":
      return { kind: "model_forbidden", model: modelAs };
    case "data_residency_mismatch":
      return { kind: "data_residency_mismatch", regions: [], never: true };
    case "idempotency_conflict":
      return { kind: "idempotency_conflict", state: refusal.state, request: refusal.request };
    case "duplicate_request":
      // Our own dice made this id; a second admission under it is a fault of ours.
      return { kind: "internal" };
    case "scope_missing":
    case "account_suspended":
    case "storage_unavailable":
    case "rate_limited":
    case "concurrency_limited":
      return refusal;
    case "budget_exceeded":
    case "insufficient_balance": {
      // Without the salt: a fault may be printed anywhere.
      const { cached: _, ...fault } = refusal;
      return fault;
    }
  }
}
