/** The name under which an `Idempotency-Key` is kept. Pure. Two API keys may use the same word for different requests. */
import type { AdmitAsk } from "@sluice/protocol/account";

export function repeatName(ask: AdmitAsk): string | undefined {
  return ask.idempotency === undefined ? undefined : `${ask.key.id} ${ask.idempotency.name}`;
}
