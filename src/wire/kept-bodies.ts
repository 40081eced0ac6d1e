/**
 * How many bytes of clients' bodies this isolate keeps. A body is kept until its request is over, because whoever fails
 * over sends it again; an isolate has 128 MB for everything. Beyond the bound a new call is refused: a running stream that
 * could not go on would be worse. Module memory on purpose: it is the isolate's.
 *
 * Counted is what has arrived, not what is announced; and nobody fills the bound for others. A body is read before the
 * account's object has been asked, so its key may be one that opens nothing any more:
 *
 *   - one key's bodies that are still arriving have a share of their account's, so that a revoked key leaves it the rest;
 *   - an account has a quarter of the whole;
 *   - where the whole is full, refused is who has more than an equal share of it. Who has less is taken, up to BRIM.
 */
import { FaultError } from "../core/fault.ts";
import { readBody } from "./body.ts";

const MIB = 1024 * 1024;
export const KEPT_BODIES_BYTES_MAX = 48 * MIB;
export const ACCOUNT_BYTES_MAX = KEPT_BODIES_BYTES_MAX / 4;
/** Two of the largest there may be. */
const KEY_ARRIVING_BYTES_MAX = 8 * MIB;
const BRIM_BYTES_MAX = 64 * MIB;
const RETRY_AFTER_MS = 1_000;

export type KeptBody = {
  readonly body: Uint8Array;
  /** It is needed no more. Once, however often it is called. */
  readonly release: () => void;
};

type Sender = { readonly account: string; readonly keyId: string };

let keptBytes = 0;
const keptOfAccount = new Map<string, number>();
const arrivingOfKey = new Map<string, number>();

/** Throws a FaultError as `readBody` does, or `overloaded` where this isolate keeps too much of this account already. */
export async function keepBody(request: Request, bytesMax: number, sender: Sender): Promise<KeptBody> {
  let held = 0;
  let isArriving = true;
  const hold = (bytes: number): void => {
    if (bytes > held && !fits(sender, bytes - held))
      throw new FaultError({ kind: "overloaded", retryAfterMs: RETRY_AFTER_MS, edge: true });
    keptBytes += bytes - held;
    add(keptOfAccount, sender.account, bytes - held);
    if (isArriving) add(arrivingOfKey, sender.keyId, bytes - held);
    held = bytes;
  };
  const arrived = (): void => {
    add(arrivingOfKey, sender.keyId, -held);
    isArriving = false;
  };
  try {
    const body = await readBody(request, bytesMax, hold);
    hold(Math.min(held, body.length));
    arrived();
    return { body, release: () => hold(0) };
  } catch (error) {
    hold(0);
    throw error;
  }
}

function fits({ account, keyId }: Sender, more: number): boolean {
  if ((arrivingOfKey.get(keyId) ?? 0) + more > KEY_ARRIVING_BYTES_MAX) return false;
  const ofAccount = (keptOfAccount.get(account) ?? 0) + more;
  if (ofAccount > ACCOUNT_BYTES_MAX || keptBytes + more > BRIM_BYTES_MAX) return false;
  const accounts = keptOfAccount.size + (keptOfAccount.has(account) ? 0 : 1);
  return keptBytes + more <= KEPT_BODIES_BYTES_MAX || ofAccount <= KEPT_BODIES_BYTES_MAX / accounts;
}

function add(counts: Map<string, number>, name: string, bytes: number): void {
  const sum = (counts.get(name) ?? 0) + bytes;
  if (sum === 0) counts.delete(name);
  else counts.set(name, sum);
}
