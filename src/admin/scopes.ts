/**
 * What an admin key may be allowed to do, and which of it a call needs. Pure. A call that no line here covers is for the
 * operator's own token alone, so a new route is closed until somebody has said who may use it; a test asks for a line
 * for every route there is.
 */
import { z } from "zod";

export const SCOPES = [
  "accounts:read",
  "accounts:write",
  "keys:write",
  "credit:write",
  "usage:read",
  "models:read",
  "models:write",
  "nodes:read",
  "nodes:write",
  "alerts:read",
  "alerts:write",
  "reconcile",
  "audit:read",
  "admin-keys",
] as const;

export const Scope = z.enum(SCOPES);
export type Scope = z.infer<typeof Scope>;

type Line = { readonly path: RegExp; readonly read: Scope; readonly write: Scope };

/** The first line that fits counts: the particular before the general. */
const LINES: readonly Line[] = [
  { path: /^\/accounts\/[^/]+\/credits$/, read: "accounts:read", write: "credit:write" },
  { path: /^\/accounts\/[^/]+\/keys(\/|$)/, read: "accounts:read", write: "keys:write" },
  { path: /^\/accounts\/[^/]+\/(usage|ledger|rollups)(\/|$)/, read: "usage:read", write: "usage:read" },
  { path: /^\/accounts(\/|$)/, read: "accounts:read", write: "accounts:write" },
  { path: /^\/generations\//, read: "usage:read", write: "usage:read" },
  { path: /^\/models(\/|$)/, read: "models:read", write: "models:write" },
  { path: /^\/prices(\/|$)/, read: "models:read", write: "models:write" },
  { path: /^\/aliases(\/|$)/, read: "models:read", write: "models:write" },
  { path: /^\/(nodes|upstreams)(\/|$)/, read: "nodes:read", write: "nodes:write" },
  { path: /^\/alerts(\/|$)/, read: "alerts:read", write: "alerts:write" },
  { path: /^\/reconcile(\/|$)/, read: "reconcile", write: "reconcile" },
  { path: /^\/audit$/, read: "audit:read", write: "audit:read" },
  { path: /^\/admin-keys(\/|$)/, read: "admin-keys", write: "admin-keys" },
];

/** The scope a call needs; undefined: none is enough. `path` is what follows `/admin/v1`. */
export function scopeFor(method: string, path: string): Scope | undefined {
  const line = LINES.find((known) => known.path.test(path));
  return method === "GET" ? line?.read : line?.write;
}
