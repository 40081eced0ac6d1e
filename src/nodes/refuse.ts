/**
 * How the edge says no to a node: `{"error":{"code","message"}}`. The code is for the program, the message for the
 * person who reads its log.
 */

export type Refusal =
  | "malformed"
  | "unauthenticated"
  | "unknown_node"
  | "insecure"
  | "too_slow"
  | "too_large"
  | "unknown_version"
  | "token_refused"
  | "unavailable";

const STATUS: { readonly [Code in Refusal]: number } = {
  malformed: 400,
  unauthenticated: 401,
  unknown_node: 403,
  insecure: 403,
  token_refused: 403,
  too_slow: 408,
  too_large: 413,
  unknown_version: 426,
  unavailable: 503,
};

export function refuse(code: Refusal, message: string): Response {
  return Response.json({ error: { code, message } }, { status: STATUS[code] });
}
