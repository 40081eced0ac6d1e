/** Which attempt a receipt of our own is about. Pure; its text was made here, so it is as its schema says. */
import { Receipt } from "@sluice/protocol/receipt";

export type ReceiptName = Pick<Receipt, "request" | "ordinal" | "choice" | "ticket">;

export function openBody(body: string): ReceiptName {
  return Receipt.parse(JSON.parse(body));
}
