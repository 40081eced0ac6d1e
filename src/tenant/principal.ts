/**
 * Who asks, for everything an account may ask about itself: the key in the headers, and what the account's object says
 * of it this very moment. Nothing is answered from a copy before that: a revoked key reads nothing from the next call on.
 */
import { admissionFault } from "../account/faults.ts";
import { authenticate, rememberRefusal } from "../auth/authenticate.ts";
import type { KeyLook } from "../core/account.ts";
import { accountObject, type Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { secretsOf } from "../core/secrets.ts";

/**
 * Throws a FaultError. `readRequest` reads the id of a request that is asked about in the same breath: after the key's
 * checksum, so that a stranger's query is not looked at.
 */
export async function whoAsks(
  env: Env,
  headers: Headers,
  readRequest: () => string | undefined = () => undefined,
): Promise<KeyLook> {
  const nowMs = Date.now();
  const who = await authenticate(secretsOf(env), headers, nowMs);
  const key = { id: who.keyId, secretSha256: who.secretSha256 };
  const request = readRequest();
  const answer = await accountObject(env, who.account)
    .look({ key, ...(request === undefined ? {} : { request }) })
    .catch((cause: unknown) => {
      throw new FaultError({ kind: "storage_unavailable" }, { cause });
    });
  if (answer.ok) return answer;
  const fault = admissionFault(answer.refusal, "");
  if (fault.kind === "unauthenticated") rememberRefusal(who, fault, nowMs);
  throw new FaultError(fault);
}
