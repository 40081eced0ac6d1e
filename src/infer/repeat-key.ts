/**
 * The client's `Idempotency-Key`, and what the account's object is told of it: digests. The body's is taken together with
 * the key's text: without that nobody can tell from it which of many prompts it was.
 */
import type { AdmitAsk } from "@sluice/protocol/account";
import { concat, toHex, utf8, type Bytes } from "@sluice/protocol/bytes";
import { FaultError } from "../core/fault.ts";

const HEADER = "Idempotency-Key";
/** Printable ASCII, as a header can carry it. */
const SHAPE = /^[\x21-\x7e][\x20-\x7e]{0,254}$/;
const SEPARATOR = utf8("\n");

export type RepeatKey = {
  /** The key's text, as the client gave it. */
  readonly key: string;
  /** Its digests, for the object. */
  readonly ask: NonNullable<AdmitAsk["idempotency"]>;
};

/** Undefined where the client gave none. Throws a FaultError where it gave something that is none. */
export async function readRepeatKey(headers: Headers, body: Uint8Array): Promise<RepeatKey | undefined> {
  const key = headers.get(HEADER);
  if (key === null) return undefined;
  if (!SHAPE.test(key))
    throw new FaultError({
      kind: "invalid_request",
      param: HEADER,
      message: `Invalid '${HEADER}': 1 to 255 printable ASCII characters are expected.`,
    });
  const text = utf8(key);
  const [name, digest] = await Promise.all([sha256Hex(text), sha256Hex(concat(text, SEPARATOR, body))]);
  return { key, ask: { name, body: digest } };
}

async function sha256Hex(bytes: Bytes): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}
