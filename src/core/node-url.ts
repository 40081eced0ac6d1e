/**
 * Where a node may be reached. Only an admin ever names a node's URL, and only an origin: a path, a query or a password
 * in it would end up in places where nobody expects one.
 */

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

export type NodeUrl =
  | { readonly ok: true; readonly url: string }
  | { readonly ok: false; readonly why: string };

/** The origin in its one spelling, or what is wrong with it. Plain http is for loopback in a local run alone. */
export function checkNodeUrl(text: string, dev: boolean): NodeUrl {
  if (!URL.canParse(text)) return { ok: false, why: "is not a URL" };
  const url = new URL(text);
  const plainAllowed = dev && LOOPBACK.has(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && plainAllowed))
    return { ok: false, why: "must begin with https:// (http:// is for loopback in a local run alone)" };
  if (url.username !== "" || url.password !== "")
    return { ok: false, why: "must not hold a user or password" };
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    return { ok: false, why: "must be an origin alone, without a path, query or fragment" };
  return { ok: true, url: url.origin };
}
