/**
 * Who may administer: whoever holds the one token the operator has set. A deployment without a usable token refuses
 * everything: an admin interface that is open by accident is how others lost their customers' keys.
 */
import { equalInConstantTime, utf8 } from "@sluice/protocol/bytes";

export const ADMIN_TOKEN_CHARS_MIN = 24;

/** What local runs use. It is in the source, so outside of them it opens nothing. */
export const DEV_ADMIN_TOKEN = "sluice-dev-admin-token-for-local-runs-only";

type TokenEnv = { readonly SLUICE_ADMIN_TOKEN?: string; readonly SLUICE_DEV?: string };

/** Why nobody can be let in, as a sentence for the operator; undefined where the token is usable. */
export function whyClosed(env: TokenEnv): string | undefined {
  const token = env.SLUICE_ADMIN_TOKEN ?? "";
  if (token === "") return "the admin interface is closed: the secret SLUICE_ADMIN_TOKEN is not set";
  if (token.length < ADMIN_TOKEN_CHARS_MIN)
    return `the admin interface is closed: SLUICE_ADMIN_TOKEN has fewer than ${ADMIN_TOKEN_CHARS_MIN} characters`;
  if (token === DEV_ADMIN_TOKEN && env.SLUICE_DEV !== "1")
    return "the admin interface is closed: SLUICE_ADMIN_TOKEN is the one local runs use, which everybody knows";
  return undefined;
}

/** Digests are compared, so that the time it takes says nothing about the token, not even its length. */
export async function isAdmin(env: TokenEnv, authorization: string | null): Promise<boolean> {
  const shown = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
  if (shown === undefined || whyClosed(env) !== undefined) return false;
  const [a, b] = await Promise.all([digest(shown), digest(env.SLUICE_ADMIN_TOKEN ?? "")]);
  return equalInConstantTime(a, b);
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(text)));
}
