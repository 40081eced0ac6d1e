/**
 * Reads the body of a node's message or answer: bounded, as text, exactly as it was signed where it is.
 */
import { fromUtf8 } from "@sluice/protocol/bytes";
import { FaultError } from "../core/fault.ts";
import { readBody } from "../wire/body.ts";

export type BodyText =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly why: "too_large" | "too_slow" | "malformed" };

export async function readText(message: Request | Response, bytesMax: number): Promise<BodyText> {
  try {
    return { ok: true, text: fromUtf8(await readBody(message, bytesMax)) };
  } catch (error) {
    const why = error instanceof FaultError ? error.fault.kind : undefined;
    if (why === "too_large" || why === "too_slow") return { ok: false, why };
    // Not UTF-8, or the sender hung up.
    return { ok: false, why: "malformed" };
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
