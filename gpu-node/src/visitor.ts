/**
 * Whether a request to a node that serves this machine alone was made for it, and not by a page of the web that the browser here has
 * open: such a page can send to loopback without asking (a plain POST needs no preflight), and, under a name of its own that it lets
 * point here, could even read. A browser always says the page's origin with a POST, and the name with everything. Pure.
 */
import { isLoopback } from "./config.ts";

export type Visitor = { readonly host: string | undefined; readonly origin: string | undefined };

/** Whose request this is not; undefined: it may be answered. */
export function strangerIn({ host, origin }: Visitor): "host" | "origin" | undefined {
  if (!isLoopback(hostnameOf(`http://${host ?? ""}`) ?? "")) return "host";
  // "null" is the origin of sandboxed pages and files: anybody's.
  if (origin !== undefined && !isLoopback(hostnameOf(origin) ?? "")) return "origin";
  return undefined;
}

function hostnameOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}
