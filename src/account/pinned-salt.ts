/**
 * The salt of cached answers under a pin. An answer's name says nothing of account's and key's regions, so that all keys of
 * an account share their answers; but one that was made in regions a key may not use is not that key's. Where account
 * or keys say regions, the salt that goes out with a verdict has one more part, and an answer sealed under another
 * opens for nobody here: in memory, in the data centre, in Workers KV, by the same rule as after a purge. Pure.
 *
 * The part begins with a hash because the beginning of each part is what tells salts apart (protocol's saltId).
 */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** `allowed`: what account and keys leave together; null: anywhere. */
export function pinnedSalt(salt: string, allowed: readonly string[] | null): string {
  if (allowed === null) return salt;
  const pin = allowed.toSorted().join("+");
  return `${salt}.${hashOf(pin)}${pin}`;
}

function hashOf(text: string): string {
  let hash = FNV_OFFSET;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, FNV_PRIME);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
